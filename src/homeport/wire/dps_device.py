"""What devices and the provisioning service say to each other (contract dps.md 3, 7.2)."""

from msgspec import UNSET, Raw, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class TpmKeys(WireStruct, frozen=True, kw_only=True):
    """A TPM's public keys, Base64 of `TPM2B_PUBLIC`; and the certificates of the first, which only Homeport reads.

    `endorsementCertificate` is the Base64 of the DER, `endorsementCertificateChain` its issuers in the same form.
    """

    endorsement_key: str
    storage_root_key: str | UnsetType | None = UNSET
    endorsement_certificate: str | UnsetType | None = UNSET
    endorsement_certificate_chain: list[str] | UnsetType | None = UNSET


class RegisterBody(WireStruct, frozen=True, kw_only=True):
    """Body of register and of the status lookup; C# over MQTT sends none at all.

    `payload` is any JSON value, kept byte for byte; empty when the member is absent.
    """

    registration_id: str | UnsetType | None = UNSET
    tpm: TpmKeys | UnsetType | None = UNSET
    payload: Raw = Raw()
    csr: str | UnsetType | None = UNSET


class TpmResult(WireStruct, frozen=True, kw_only=True):
    """The hub key, wrapped for the device's TPM."""

    authentication_key: str


class X509Result(WireStruct, frozen=True, kw_only=True):
    """How a device with a certificate came in; empty for an individual enrollment."""

    enrollment_group_id: str | UnsetType = UNSET


class SymmetricKeyResult(WireStruct, frozen=True, kw_only=True):
    """How a device with a key came in; empty for an individual enrollment."""

    enrollment_group_id: str | UnsetType = UNSET


class RegistrationResult(WireStruct, frozen=True, kw_only=True):
    """`registrationState`; only members with a value are written (contract dps.md 3.4)."""

    tpm: TpmResult | UnsetType = UNSET
    x509: X509Result | UnsetType = UNSET
    symmetric_key: SymmetricKeyResult | UnsetType = UNSET
    registration_id: str
    created_date_time_utc: str | UnsetType = UNSET
    assigned_hub: str | UnsetType = UNSET
    device_id: str | UnsetType = UNSET
    status: str
    substatus: str | UnsetType = UNSET
    error_code: int | UnsetType = UNSET
    error_message: str | UnsetType = UNSET
    last_updated_date_time_utc: str | UnsetType = UNSET
    etag: str | UnsetType = UNSET
    payload: Raw | UnsetType = UNSET
    issued_certificate_chain: list[str] | UnsetType = UNSET
    """Base64 of DER, the device's certificate first, the root last (contract dps.md 13.1)."""


class OperationStatus(WireStruct, frozen=True, kw_only=True):
    """Answer to register and to operation status."""

    operation_id: str
    status: str
    registration_state: RegistrationResult | UnsetType | None = UNSET


class Challenge(WireStruct, frozen=True, kw_only=True):
    """The 401 that asks a TPM to prove itself. It must never have a `status` (contract dps.md 7.2)."""

    message: str = "Authorization required, resend request using supplied key"
    authentication_key: str
    unencrypted_authentication_key: str | None = None
    key_name: str = "registration"


class ErrorBody(WireStruct, frozen=True, kw_only=True):
    """Every refusal, on every transport, of devices and administrators alike (contract dps.md 3.6)."""

    error_code: int
    tracking_id: str
    message: str
    timestamp_utc: str
    info: dict[str, str] | UnsetType = UNSET


register_body = Decoder(RegisterBody)
operation_status = Decoder(OperationStatus)
registration_result = Decoder(RegistrationResult)
challenge = Decoder(Challenge)
error_body = Decoder(ErrorBody)
