"""What a device says and offers before anything is proven, and where its call came from."""

from msgspec import Struct

from homeport.dps.model.registration import PendingChallenge
from homeport.values import hiding


class DeviceClaim(Struct, frozen=True, kw_only=True):
    """Who a device says it is, before anything is proven."""

    id_scope: str
    registration_id: str
    api_version: str


@hiding("token")
class SasEvidence(Struct, frozen=True, kw_only=True):
    """A SAS token as it came."""

    token: str


class CertificateEvidence(Struct, frozen=True, kw_only=True):
    """The TLS client's certificates, DER, leaf first; possession of the leaf's key is proven by the handshake."""

    chain: tuple[bytes, ...]


@hiding("token", "challenge")
class TpmEvidence(Struct, frozen=True, kw_only=True):
    """What a TPM device offers: its public keys, and the token its TPM signed once it was challenged.

    The keys may be missing when the token is there (the IoT Edge client sends them once only). `challenge` is the one
    that this very connection was given (AMQP, contract dps.md 7.7); without it the latest stored one counts.
    """

    endorsement_key: bytes | None
    storage_root_key: bytes | None
    token: str | None = None
    endorsement_chain: tuple[bytes, ...] = ()
    """The endorsement key's certificate and its issuers, DER; what only Homeport reads."""
    challenge: PendingChallenge | None = None


class NoEvidence(Struct, frozen=True, kw_only=True):
    """The device offered nothing that could prove who it is."""


Evidence = SasEvidence | CertificateEvidence | TpmEvidence | NoEvidence


class CallContext(Struct, frozen=True, kw_only=True):
    """Where a device's call came from, for its record: one tracking id finds attempt, log line and answer."""

    tracking_id: str
    transport: str
    """`https`, `mqtt`, `mqtt-ws`, `amqp` or `amqp-ws`."""
    remote_address: str
    client_version: str | None = None
    injected: tuple[str, ...] = ()
    """What the fault lab did to this call, for the record."""
