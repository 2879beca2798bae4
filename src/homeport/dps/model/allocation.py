"""What choosing a hub depends on, and the question that custom allocation is asked (contract dps.md 9)."""

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from homeport.dps.model.enrollment import AllocationPolicy, CustomAllocation, ReprovisionPolicy
from homeport.dps.model.hub import LinkedHub, SasCredential, ThumbprintCredential, TwinContent
from homeport.values import hiding


class Region(Struct, frozen=True, kw_only=True):
    """A place that hubs and devices are in; degrees, north and east positive."""

    name: str
    latitude: float | None = None
    longitude: float | None = None


class AddressRange(Struct, frozen=True, kw_only=True):
    """Devices that call from these addresses (CIDR, as `ipaddress` writes it) are in this region."""

    prefix: str
    region: str


class RegionLatency(Struct, frozen=True, kw_only=True):
    """How far apart two regions are, in either direction; both may be the same."""

    between: tuple[str, str]
    milliseconds: float


class AllocationSettings(Struct, frozen=True, kw_only=True):
    """What the operator sets for the whole service. `default_policy` is never custom (contract dps.md 9.1)."""

    default_policy: AllocationPolicy = AllocationPolicy.HASHED
    regions: tuple[Region, ...] = ()
    addresses: tuple[AddressRange, ...] = ()
    latencies: tuple[RegionLatency, ...] = ()


class Fleet(Struct, frozen=True, kw_only=True):
    """The linked hubs as allocation sees them.

    `occupied` counts the devices of capped hubs, those on their way included, by lower-cased host name.
    """

    hubs: Sequence[LinkedHub]
    settings: AllocationSettings = field(default_factory=AllocationSettings)
    occupied: Mapping[str, int] = field(default_factory=dict)


class Applicant(Struct, frozen=True, kw_only=True):
    """The device as allocation sees it.

    `lives_on` is the hub of its last assignment; `latencies` are what it measured, in milliseconds, by lower-cased
    host name; `region` is what its enrollment says.
    """

    registration_id: str
    lives_on: str | None = None
    address: str | None = None
    region: str | None = None
    latencies: Mapping[str, float] = field(default_factory=dict)


class TpmKeys(Struct, frozen=True, kw_only=True):
    """The public keys of a TPM that has proven itself, `TPM2B_PUBLIC`."""

    endorsement_key: bytes
    storage_root_key: bytes


class Terms(Struct, frozen=True, kw_only=True):
    """What a chosen hub's assignment is carried out with, whoever chose the hub."""

    device_id: str
    identity: SasCredential | ThumbprintCredential | TpmKeys
    iot_edge: bool | None
    initial_twin: TwinContent
    policy: ReprovisionPolicy | None
    api_version: str
    """The device's; it counts where the enrollment has no reprovision policy."""


@hiding("request")
class Question(Struct, frozen=True, kw_only=True):
    """What custom allocation is asked for one device. `request` is the JSON document, without secrets."""

    definition: CustomAllocation
    request: bytes
    offered: tuple[str, ...]
    """Host names the answer must be one of."""
    terms: Terms


class Answer(Struct, frozen=True, kw_only=True):
    """What custom allocation answered: a host name, and perhaps a twin and a JSON object for the device."""

    hub: str
    initial_twin: TwinContent | None = None
    payload: bytes | None = None
