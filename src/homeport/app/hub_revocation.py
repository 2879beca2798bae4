"""How hubs learn of revoked certificates: by the authorities, lists and responders that provisioning knows."""

from collections.abc import Sequence

from homeport.dps.attestation import Findings, Trust
from homeport.dps.model import CaCertificate
from homeport.dps.ports import CaCertificateStore
from homeport.dps.revocation import Revocation
from homeport.security.x509_path import Path


class HubRevocation:
    """Asks about every certificate of a path that an authority of the provisioning service has issued.

    An authority goes by its name and key, so what was said of it there holds for devices at hubs as well. Without a
    CA certificate there, nothing is asked.
    """

    def __init__(self, revocation: Revocation, certificates: CaCertificateStore) -> None:
        self._revocation = revocation
        self._certificates = certificates
        self._known: object = None
        self._trust = Trust()

    async def check(self, path: Path) -> str | None:
        """Say why the path does not hold; None if it does."""
        certificates = await self._certificates.all()
        if not certificates:
            return None
        trust = self._trust_in(certificates)
        refused = await self._revocation.check(path.certificates, trust, Findings())
        return None if refused is None else refused.reason

    def _trust_in(self, certificates: Sequence[CaCertificate]) -> Trust:
        if certificates is not self._known:
            self._known, self._trust = certificates, Trust((), certificates, before=self._trust)
        return self._trust
