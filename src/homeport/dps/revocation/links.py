"""Which certificates of a path have to be asked about, and by whose rules. Pure."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from homeport.dps.attestation import Trust
from homeport.dps.model import CaCertificate, RevocationPolicy, RevocationSettings
from homeport.security.x509 import Certificate


class Link(Struct, frozen=True, kw_only=True):
    """A certificate, and the authority that issued it and could take it back."""

    certificate: Certificate
    issuer: Certificate
    authority: CaCertificate
    """The uploaded CA certificate whose settings count: the issuer itself, or the nearest one above it."""

    @property
    def settings(self) -> RevocationSettings:
        return self.authority.revocation


def links(path: Sequence[Certificate], trust: Trust) -> Iterator[Link]:
    """Yield what is to be asked about, from the leaf up, beyond the path's anchor to the last known issuer.

    An intermediate that was not uploaded goes by the settings of the nearest uploaded authority above it.
    """
    if not trust.has_authorities:
        return
    whole = [*path, *trust.above(path[-1])]
    # The leaf is no authority, whatever it says of itself.
    uploaded = [None, *(trust.authority(certificate) for certificate in whole[1:])]
    for position in range(len(whole) - 1):
        authority = next((one for one in uploaded[position + 1 :] if one is not None), None)
        if authority is not None and authority.revocation.policy is not RevocationPolicy.OFF:
            yield Link(certificate=whole[position], issuer=whole[position + 1], authority=authority)
