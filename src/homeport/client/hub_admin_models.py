"""What administrators set of a hub of a Homeport. Documents below `/homeport/hubs/{name}/`."""

from datetime import datetime, timedelta

import msgspec


class _Document(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Only read, never written."""


class HubCertificateProperties(_Document, kw_only=True, frozen=True):
    subject: str
    expiry: datetime
    thumbprint: str
    """SHA-1."""
    is_verified: bool
    """Only a verified one lets devices in."""
    created: datetime
    updated: datetime
    certificate: str
    """Base64 of the DER."""
    verification_code: str | None = None
    """The common name of the certificate that is to prove possession."""


class HubCertificate(_Document, kw_only=True, frozen=True):
    """A CA certificate of a hub, at which the chains of its devices may end."""

    name: str
    etag: str
    properties: HubCertificateProperties


class HubCertificates(_Document, kw_only=True, frozen=True):
    value: list[HubCertificate]


class FeedbackSettings(_Document, kw_only=True, frozen=True):
    """How feedback waits for services."""

    lock_duration_as_iso8601: timedelta
    ttl_as_iso8601: timedelta
    max_delivery_count: int


class CloudToDeviceSettings(_Document, kw_only=True, frozen=True):
    """How a hub keeps cloud-to-device messages."""

    default_ttl_as_iso8601: timedelta
    max_delivery_count: int
    lock_duration_as_iso8601: timedelta
    feedback: FeedbackSettings
    etag: str


class FeedbackChanges(msgspec.Struct, rename="camel", kw_only=True, frozen=True, omit_defaults=True):
    """What to change; members that are not set stay as they are."""

    lock_duration_as_iso8601: timedelta | msgspec.UnsetType = msgspec.UNSET
    ttl_as_iso8601: timedelta | msgspec.UnsetType = msgspec.UNSET
    max_delivery_count: int | msgspec.UnsetType = msgspec.UNSET


class CloudToDeviceChanges(msgspec.Struct, rename="camel", kw_only=True, frozen=True, omit_defaults=True):
    """What to change; members that are not set stay as they are."""

    default_ttl_as_iso8601: timedelta | msgspec.UnsetType = msgspec.UNSET
    max_delivery_count: int | msgspec.UnsetType = msgspec.UNSET
    lock_duration_as_iso8601: timedelta | msgspec.UnsetType = msgspec.UNSET
    feedback: FeedbackChanges | msgspec.UnsetType = msgspec.UNSET
