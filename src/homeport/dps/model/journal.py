"""What happened, as the journal keeps it: each administrative change and each registration outcome, once.

The audit exports entries; lifecycle events are the same entries as their subscribers see them. A change of something
new gets a `Kind` here and a call of `change` (in `changes.py`) where its store writes it.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from homeport.security.callers import Caller


class Kind(StrEnum):
    """What an entry tells. Behind `io.homeport.`, it is the type of the event.

    Each member's text says when it comes; the reference page is generated from here.
    """

    ENROLLMENT_CREATED = "enrollment.created"
    """An individual enrollment was made: the device may register."""
    ENROLLMENT_UPDATED = "enrollment.updated"
    """An individual enrollment was changed, and is as enabled or disabled as before."""
    ENROLLMENT_ENABLED = "enrollment.enabled"
    """An individual enrollment was changed and is enabled now."""
    ENROLLMENT_DISABLED = "enrollment.disabled"
    """An individual enrollment was changed and is disabled now."""
    ENROLLMENT_DELETED = "enrollment.deleted"
    """An individual enrollment was deleted."""
    GROUP_CREATED = "enrollmentGroup.created"
    """An enrollment group was made: its devices may register."""
    GROUP_UPDATED = "enrollmentGroup.updated"
    """An enrollment group was changed, and is as enabled or disabled as before."""
    GROUP_ENABLED = "enrollmentGroup.enabled"
    """An enrollment group was changed and is enabled now."""
    GROUP_DISABLED = "enrollmentGroup.disabled"
    """An enrollment group was changed and is disabled now."""
    GROUP_DELETED = "enrollmentGroup.deleted"
    """An enrollment group was deleted."""
    DEVICE_ASSIGNED = "device.assigned"
    """A registration ended with a home for a device that had none."""
    DEVICE_REASSIGNED = "device.reassigned"
    """A registration ended with another home than the device had."""
    DEVICE_REGISTERED = "device.registered"
    """A registration ended, and the device stays where it was."""
    DEVICE_FAILED = "device.failed"
    """A registration failed: the data say why."""
    DEVICE_DISABLED = "device.disabled"
    """A device that proved itself was turned away, because its enrollment is disabled."""
    DEVICE_REFUSED = "device.refused"
    """Calls of a device were refused; many of the same kind are told together, with their number."""
    REGISTRATION_DELETED = "registration.deleted"
    """A registration record was deleted; the hub keeps the device."""
    HUB_LINKED = "hub.linked"
    """A hub was linked; devices may be assigned to it."""
    HUB_UPDATED = "hub.updated"
    """A linked hub was changed."""
    HUB_UNLINKED = "hub.unlinked"
    """A hub was unlinked; nothing more is assigned to it."""
    HUB_ROUTING_UPDATED = "hubRouting.updated"
    """A route, an endpoint or an enrichment of a hub was made, changed or removed; the subject names it."""
    EVENT_STREAM_CREATED = "eventStream.created"
    """An Event Hubs-compatible endpoint was made at a hub of this server."""
    EVENT_STREAM_UPDATED = "eventStream.updated"
    """How long an endpoint keeps events, or how much it holds, was changed."""
    EVENT_STREAM_DELETED = "eventStream.deleted"
    """An Event Hubs-compatible endpoint was removed, and its events with it."""
    CONSUMER_GROUP_CREATED = "consumerGroup.created"
    """A consumer group was made at an endpoint."""
    CONSUMER_GROUP_DELETED = "consumerGroup.deleted"
    """A consumer group was removed from an endpoint."""
    HUB_CA_CERTIFICATE_UPLOADED = "hubCaCertificate.uploaded"
    """A CA certificate was uploaded to a hub of this server."""
    HUB_CA_CERTIFICATE_VERIFIED = "hubCaCertificate.verified"
    """A hub's CA certificate counts as verified from now on: devices below it come in."""
    HUB_CA_CERTIFICATE_UPDATED = "hubCaCertificate.updated"
    """A hub's CA certificate or its verification code was changed."""
    HUB_CA_CERTIFICATE_DELETED = "hubCaCertificate.deleted"
    """A hub's CA certificate was deleted; devices that came in by it were cut off."""
    HUB_FILES_UPDATED = "hubFiles.updated"
    """Where a hub keeps the files that devices upload, or who is told of them, was changed."""
    HUB_QUEUES_UPDATED = "hubQueues.updated"
    """How a hub keeps cloud-to-device messages and feedback was changed."""
    CERTIFICATE_ISSUED = "certificate.issued"
    """A device was given a certificate, and its hub accepts it."""
    CERTIFICATE_RENEWED = "certificate.renewed"
    """A device was given its next certificate while the one before was still valid; its hub accepts both."""
    CERTIFICATE_REVOKED = "certificate.revoked"
    """A certificate that a device was given was taken back."""
    AUTHORITY_CREATED = "certificateAuthority.created"
    """A certificate authority was made, or one from elsewhere was taken over."""
    AUTHORITY_ROTATED = "certificateAuthority.rotated"
    """A certificate authority issues with a new key and certificate from now on."""
    AUTHORITY_DELETED = "certificateAuthority.deleted"
    """A certificate authority was deleted, and its keys with it."""
    CERTIFICATE_POLICY_CREATED = "certificatePolicy.created"
    """A certificate policy was made."""
    CERTIFICATE_POLICY_UPDATED = "certificatePolicy.updated"
    """A certificate policy was changed; what was issued stays as it is."""
    CERTIFICATE_POLICY_DELETED = "certificatePolicy.deleted"
    """A certificate policy was deleted."""
    MASTER_KEY_ROTATED = "masterKey.rotated"
    """The keys of the authorities are sealed under a new master key; the old one is about to be forgotten."""
    POLICY_CREATED = "policy.created"
    """A shared access policy was made."""
    POLICY_UPDATED = "policy.updated"
    """A shared access policy was given other rights or another key."""
    POLICY_DELETED = "policy.deleted"
    """A shared access policy was deleted; its tokens are worth nothing."""
    ALLOCATION_UPDATED = "allocation.updated"
    """The settings for allocation were replaced: default policy, regions, latencies."""
    SIGNING_KEY_ROTATED = "signingKey.rotated"
    """A new primary key was made that webhook requests are signed with."""
    IP_FILTER_UPDATED = "ipFilter.updated"
    """The rules that say which addresses may come in were replaced."""
    CA_CERTIFICATE_UPLOADED = "caCertificate.uploaded"
    """A CA certificate was uploaded."""
    CA_CERTIFICATE_VERIFIED = "caCertificate.verified"
    """A CA certificate counts as verified from now on, by proof of possession or an administrator's word."""
    CA_CERTIFICATE_UPDATED = "caCertificate.updated"
    """A CA certificate, its verification code, or what is asked about revocation was changed."""
    CA_CERTIFICATE_DELETED = "caCertificate.deleted"
    """A CA certificate was deleted; chains can end at it no more."""
    CRL_UPLOADED = "crl.uploaded"
    """An administrator uploaded an authority's revocation list; those that are fetched are not told."""
    CRL_DELETED = "crl.deleted"
    """An administrator deleted an authority's revocation list."""
    ADMINISTRATOR_CREATED = "administrator.created"
    """An administrator was given a token."""
    ADMINISTRATOR_UPDATED = "administrator.updated"
    """An administrator's role, expiry or token was changed."""
    ADMINISTRATOR_REVOKED = "administrator.revoked"
    """An administrator was removed, and the token is worth nothing."""
    SUBSCRIPTION_CREATED = "eventSubscription.created"
    """A webhook is told of events from now on."""
    SUBSCRIPTION_UPDATED = "eventSubscription.updated"
    """An event subscription was changed."""
    SUBSCRIPTION_DELETED = "eventSubscription.deleted"
    """A webhook is told of events no more."""
    SUBSCRIPTION_REPLAYED = "eventSubscription.replayed"
    """What could not be delivered to a webhook was put in line again, or past events were."""
    FAULT_STARTED = "fault.started"
    """An administrator started a fault in the fault lab; it ends by itself, by being stopped, or with the server."""
    FAULT_STOPPED = "fault.stopped"
    """An administrator stopped a fault; those that end by themselves are not told."""
    FAULT_MESSAGES_SWITCHED = "faultMessages.switched"
    """A hub was told to obey its devices' fault injection messages, or not to."""
    AUDIT_PRUNED = "audit.pruned"
    """Entries older than the retention were dropped; the data name the last one and its hash."""


class Entry(Struct, frozen=True, kw_only=True):
    """One thing that happened; it holds no secret. The journal adds the time, the number and the hash."""

    kind: Kind
    subject: str
    """The thing's collection and id: `devices/…` (its enrollment and its registration alike), `hubs/…`."""
    by: Caller
    etag_before: str | None = None
    etag_after: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    """JSON: strings, whole numbers, booleans, None, lists and objects of these."""


class Recorded(Struct, frozen=True, kw_only=True):
    """An entry in the chain."""

    seq: int
    at: datetime
    kind: str
    subject: str
    document: Mapping[str, Any]
    """The whole entry, as it is hashed."""
    hash: bytes


class Wanted(Struct, frozen=True, kw_only=True):
    """Which entries are asked for; None does not narrow. A `kind` that ends in a dot means all that begin so."""

    kind: str | None = None
    subject: str | None = None
    """Exactly this one, in any letter case; with `*` at the end, all that begin so."""
    since: datetime | None = None
    until: datetime | None = None


def document_of(entry: Entry, at: str) -> dict[str, Any]:
    """Return the entry as JSON that every store and every reader takes; what is absent is left out."""
    document: dict[str, Any] = _printable(raw_document_of(entry, at))
    return document


def raw_document_of(entry: Entry, at: str) -> dict[str, Any]:
    """As `document_of`, with strangers' texts as they are."""
    by = entry.by
    whose = {"kind": by.kind.value, "name": by.name}
    if by.role:
        whose["role"] = by.role.value
    document: dict[str, Any] = {
        "at": at,
        "kind": entry.kind.value,
        "subject": entry.subject,
        "by": whose,
        "data": entry.data,
    }
    optional = (
        ("remoteAddress", by.remote_address),
        ("trackingId", by.tracking_id),
        ("etagBefore", entry.etag_before),
        ("etagAfter", entry.etag_after),
    )
    document.update((member, value) for member, value in optional if value)
    return document


def printable(text: str) -> str:
    """Return text that every store and every reader takes: strangers choose some of it."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def _printable(value: Any) -> Any:
    match value:
        case str():
            return printable(value)
        case Mapping():
            return {printable(name): _printable(member) for name, member in value.items()}
        case list() | tuple():
            return [_printable(item) for item in value]
        case _:
            return value
