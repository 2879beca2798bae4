"""Linked hubs, and what a device must look like at its hub (contract dps.md 8.10, 9.6)."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.dps.model.document import JsonObject
from homeport.values import hiding


@hiding("connection_string")
class LinkedHub(Struct, frozen=True, kw_only=True):
    """A hub the service may use (contract dps.md 8.10).

    `connection_string` is None for a hub that this Homeport serves itself.
    """

    name: str
    host_name: str
    allocation_weight: int = 1
    apply_allocation_policy: bool = True
    connection_string: str | None = None
    ca_certificates: str | None = None
    """PEM of the authorities trusted for this host, besides the system's; another Homeport's CA stands here."""
    draining: bool = False
    """Takes no new devices; those that live there keep it."""
    max_devices: int | None = None
    """Takes no new devices once so many are assigned to it; None is no limit."""
    region: str | None = None
    """Where the hub is, by a name of the operator's; for lowest latency."""
    created_at: datetime


@hiding("primary_key", "secondary_key")
class SasCredential(Struct, frozen=True, kw_only=True):
    """The device signs tokens with these keys at its hub."""

    primary_key: bytes
    secondary_key: bytes


class ThumbprintCredential(Struct, frozen=True, kw_only=True):
    """The device presents a certificate with one of these SHA-256 thumbprints (upper-case hex)."""

    primary: str
    secondary: str


HubCredential = SasCredential | ThumbprintCredential


class TwinContent(Struct, frozen=True, kw_only=True):
    """The sections of a twin without metadata. `reported` is None when it must not be written."""

    tags: JsonObject
    desired: JsonObject
    reported: JsonObject | None = None


class TwinWrite(StrEnum):
    """When a device spec's twin is written."""

    IF_CREATED = "ifCreated"
    """Only when the identity is new at the hub; an existing twin is left as it is."""
    ALWAYS = "always"
    """Also over the twin of an existing identity (reset)."""


class DeviceSpec(Struct, frozen=True, kw_only=True):
    """What a device must look like at its hub."""

    device_id: str
    credential: HubCredential
    iot_edge: bool | None
    """None leaves the capability of an existing identity as it is."""
    twin: TwinContent
    twin_write: TwinWrite = TwinWrite.IF_CREATED


class HubDevice(Struct, frozen=True, kw_only=True):
    """What is read from a hub before a device moves away."""

    device_id: str
    iot_edge: bool
    twin: TwinContent


def by_host(hubs: Sequence[LinkedHub], host: str) -> LinkedHub | None:
    """Find a linked hub by its host name, ignoring case."""
    wanted = host.lower()
    return next((hub for hub in hubs if hub.host_name.lower() == wanted), None)
