"""Issuing authorities, certificate policies and issued certificates, under `/homeport/`; spans of time in seconds.

The counterpart of `homeport.client.issuing_models`.
"""

from msgspec import UNSET, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class AuthorityVersion(WireStruct, frozen=True, kw_only=True):
    version: int
    key_type: str
    key_uri: str | UnsetType = UNSET
    subject_name: str
    sha256_thumbprint: str
    serial_number: str
    not_before_utc: str
    not_after_utc: str


class Authority(WireStruct, frozen=True, kw_only=True):
    """A certificate authority; its keys are never told."""

    name: str
    issuer: str | UnsetType = UNSET
    maximum_validity_seconds: int
    crl_url: str | UnsetType = UNSET
    active: AuthorityVersion
    versions: list[AuthorityVersion]
    etag: str
    created_date_time_utc: str
    last_updated_date_time_utc: str


class AuthorityCreation(WireStruct, frozen=True, kw_only=True):
    """Body of PUT: with `certificates`, an authority is brought; without, one is made. Of rotate: the same."""

    issuer: str | UnsetType | None = UNSET
    key_type: str | UnsetType | None = UNSET
    key_uri: str | UnsetType | None = UNSET
    common_name: str | UnsetType | None = UNSET
    organization: str | UnsetType | None = UNSET
    validity_seconds: int | UnsetType | None = UNSET
    path_length: int | UnsetType | None = UNSET
    certificates: str | UnsetType | None = UNSET
    private_key: str | UnsetType | None = UNSET
    maximum_validity_seconds: int | UnsetType | None = UNSET
    crl_url: str | UnsetType | None = UNSET


class Chain(WireStruct, frozen=True, kw_only=True):
    """The authority's certificate and those above it, as PEM text."""

    version: int
    certificates: str


class RevocationList(WireStruct, frozen=True, kw_only=True):
    version: int
    number: int
    next_update_utc: str
    crl: str
    """Base64 of the DER."""


class Policy(WireStruct, frozen=True, kw_only=True):
    name: str
    certificate_authority_name: str
    validity_seconds: int
    backdate_seconds: int
    renew_before_seconds: int
    key_types: list[str]
    organization: str | UnsetType = UNSET
    organizational_unit: str | UnsetType = UNSET
    dns_name: bool
    extended_key_usages: list[str]
    etag: str
    created_date_time_utc: str
    last_updated_date_time_utc: str


class PolicyWrite(WireStruct, frozen=True, kw_only=True):
    """Body of PUT; what is absent takes its default."""

    certificate_authority_name: str
    validity_seconds: int | UnsetType | None = UNSET
    backdate_seconds: int | UnsetType | None = UNSET
    renew_before_seconds: int | UnsetType | None = UNSET
    key_types: list[str] | UnsetType | None = UNSET
    organization: str | UnsetType | None = UNSET
    organizational_unit: str | UnsetType | None = UNSET
    dns_name: bool | UnsetType | None = UNSET
    extended_key_usages: list[str] | UnsetType | None = UNSET


class Issued(WireStruct, frozen=True, kw_only=True):
    """A certificate that a device was given."""

    serial_number: str
    sha256_thumbprint: str
    registration_id: str
    certificate_authority_name: str
    authority_version: int
    certificate_policy_name: str | UnsetType = UNSET
    subject_name: str
    certificate: str
    """Base64 of the DER."""
    not_before_utc: str
    not_after_utc: str
    issued_date_time_utc: str
    assigned_hub: str
    device_id: str
    status: str
    """`valid`, `expired` or `revoked`."""
    revoked_date_time_utc: str | UnsetType = UNSET
    revocation_reason: str | UnsetType = UNSET
    withdrawn: bool
    """False while a hub may still accept a revoked certificate."""


class RevocationRequest(WireStruct, frozen=True, kw_only=True):
    """Body of revoke; `registrationId` only where no serial number stands in the path."""

    registration_id: str | UnsetType | None = UNSET
    reason: str | UnsetType | None = UNSET


class MasterKey(WireStruct, frozen=True, kw_only=True):
    """The master key after its rotation; the name is no secret."""

    key_name: str
    resealed: int


authority_creation = Decoder(AuthorityCreation)
policy_write = Decoder(PolicyWrite)
revocation_request = Decoder(RevocationRequest)
