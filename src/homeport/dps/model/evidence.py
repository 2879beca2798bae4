"""What a device says and offers before anything is proven, and where its call came from."""

from dataclasses import dataclass, field

from homeport.dps.model.registration import PendingChallenge


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClaim:
    """Who a device says it is, before anything is proven."""

    id_scope: str
    registration_id: str
    api_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SasEvidence:
    """A SAS token as it came."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateEvidence:
    """The TLS client's certificates, DER, leaf first; possession of the leaf's key is proven by the handshake."""

    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmEvidence:
    """What a TPM device offers: its public keys, and the token its TPM signed once it was challenged.

    The keys may be missing when the token is there (the IoT Edge client sends them once only). `challenge` is the one
    that this very connection was given (AMQP, contract dps.md 7.7); without it the latest stored one counts.
    """

    endorsement_key: bytes | None
    storage_root_key: bytes | None
    token: str | None = field(default=None, repr=False)
    endorsement_chain: tuple[bytes, ...] = ()
    """The endorsement key's certificate and its issuers, DER; what only Homeport reads."""
    challenge: PendingChallenge | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoEvidence:
    """The device offered nothing that could prove who it is."""


Evidence = SasEvidence | CertificateEvidence | TpmEvidence | NoEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """Where a device's call came from, for its record: one tracking id finds attempt, log line and answer."""

    tracking_id: str
    transport: str
    """`https`, `mqtt`, `mqtt-ws`, `amqp` or `amqp-ws`."""
    remote_address: str
    client_version: str | None = None
    injected: tuple[str, ...] = ()
    """What the fault lab did to this call, for the record."""
