"""What administrators set of a hub, below `/homeport/hubs/{name}/`: its CA certificates and its queues.

Members are those of Azure's control plane (`certificates` and `cloudToDevice` of an IoT hub); times are ISO 8601, as
everywhere below `/homeport/`. The counterpart of `homeport.client.hub_admin_models`.
"""

from datetime import timedelta

from msgspec import UNSET, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class CertificateProperties(WireStruct, frozen=True, kw_only=True):
    subject: str
    expiry: str
    thumbprint: str
    """SHA-1, as Azure has it."""
    is_verified: bool
    created: str
    updated: str
    certificate: str
    """Base64 of the DER."""
    verification_code: str | UnsetType = UNSET


class Certificate(WireStruct, frozen=True, kw_only=True):
    name: str
    etag: str
    properties: CertificateProperties


class CertificateList(WireStruct, frozen=True, kw_only=True):
    value: list[Certificate]


class CertificateUploadProperties(WireStruct, frozen=True, kw_only=True):
    """PEM, or the Base64 of DER or PEM; `isVerified` takes the administrator's word in place of a proof."""

    certificate: str
    is_verified: bool | UnsetType | None = UNSET


class CertificateUpload(WireStruct, frozen=True, kw_only=True):
    properties: CertificateUploadProperties


class Verification(WireStruct, frozen=True, kw_only=True):
    """The certificate for the verification code."""

    certificate: str


class Feedback(WireStruct, frozen=True, kw_only=True):
    lock_duration_as_iso8601: timedelta | UnsetType = UNSET
    ttl_as_iso8601: timedelta | UnsetType = UNSET
    max_delivery_count: int | UnsetType = UNSET


class CloudToDevice(WireStruct, frozen=True, kw_only=True):
    """Members that are left out stay as they are when it is written; an answer has them all."""

    default_ttl_as_iso8601: timedelta | UnsetType = UNSET
    max_delivery_count: int | UnsetType = UNSET
    lock_duration_as_iso8601: timedelta | UnsetType = UNSET
    feedback: Feedback | UnsetType = UNSET
    etag: str | UnsetType = UNSET
    """Written back, it is passed over: If-Match counts."""


certificate_upload = Decoder(CertificateUpload)
verification = Decoder(Verification)
cloud_to_device = Decoder(CloudToDevice)
