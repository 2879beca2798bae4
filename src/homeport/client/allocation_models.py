"""How hubs are chosen: settings, explanations, comparisons. Documents under `/homeport/allocation/`."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from homeport.client.models import AllocationPolicy


class _Document(msgspec.Struct, rename="camel", kw_only=True, frozen=True, omit_defaults=True):
    """A document, or a part of one."""


class Region(_Document, kw_only=True, frozen=True):
    """A place that hubs and devices are in; degrees, north and east positive."""

    name: str
    latitude: float | None = None
    longitude: float | None = None


class AddressRange(_Document, kw_only=True, frozen=True):
    """Devices that call from these addresses (`10.1.0.0/16`) are in this region."""

    prefix: str
    region: str


class RegionLatency(_Document, kw_only=True, frozen=True):
    """How far apart two regions are, in either direction."""

    between: tuple[str, str]
    milliseconds: float


class AllocationSettings(_Document, kw_only=True, frozen=True):
    """What counts for the whole service. Custom cannot be the default policy."""

    default_policy: AllocationPolicy = AllocationPolicy.HASHED
    regions: list[Region] = msgspec.field(default_factory=list)
    addresses: list[AddressRange] = msgspec.field(default_factory=list)
    latencies: list[RegionLatency] = msgspec.field(default_factory=list)


class WebhookSigningKeys(_Document, kw_only=True, frozen=True):
    """The keys webhook requests are signed with, Base64; either verifies."""

    primary_key: str
    secondary_key: str

    def __repr__(self) -> str:
        return "WebhookSigningKeys(…)"


class Candidate(_Document, kw_only=True, frozen=True):
    """A hub that could be chosen; the lowest latency wins, and then the lowest score."""

    host_name: str
    allocation_weight: int
    share: float
    """Its part of all candidates' weights, 0 to 1."""
    score: float | None = None
    milliseconds: float | None = None
    latency_source: str | None = None


class Exclusion(_Document, kw_only=True, frozen=True):
    """A hub that cannot be chosen for this device, and why."""

    host_name: str
    reason: str


class AllocationExplanation(_Document, kw_only=True, frozen=True):
    """Where a device would go if it registered now."""

    registration_id: str
    enrollment_group_id: str | None = None
    allocation_policy: str
    is_default_policy: bool
    current_hub: str | None = None
    candidates: list[Candidate]
    exclusions: list[Exclusion]
    result: str
    """`assign`, `stay`, `ask` (custom allocation decides) or `none`."""
    assigned_hub: str | None = None
    reason: str


class Movement(_Document, kw_only=True, frozen=True):
    """A device that would get another home when it registers next; `to_hub` None: it would find none."""

    registration_id: str
    enrollment_group_id: str | None = None
    from_hub: str
    to_hub: str | None = None
    reason: str


class AllocationComparison(_Document, kw_only=True, frozen=True):
    """What would move among the registrations that were examined; parts of all add up."""

    examined: int = 0
    movements: list[Movement] = msgspec.field(default_factory=list)
    before: dict[str, int] = msgspec.field(default_factory=dict)
    after: dict[str, int] = msgspec.field(default_factory=dict)
    asked: int = 0
    """Devices whose hub custom allocation would choose; they count where they are."""
    orphaned: int = 0
    """Devices whose enrollment is gone or disabled; they stay."""


class ComparisonTotals:
    """Adds parts up without keeping them: counts by hub, and by way from hub to hub."""

    def __init__(self) -> None:
        self.examined = self.asked = self.orphaned = 0
        self.before: Counter[str] = Counter()
        self.after: Counter[str] = Counter()
        self.ways: Counter[tuple[str, str | None]] = Counter()

    @property
    def moving(self) -> int:
        """How many devices would move, or would lose their hub."""
        return sum(self.ways.values())

    def add(self, part: AllocationComparison) -> Iterable[Movement]:
        """Count one part; return its movements."""
        self.examined += part.examined
        self.asked += part.asked
        self.orphaned += part.orphaned
        self.before.update(part.before)
        self.after.update(part.after)
        self.ways.update((movement.from_hub, movement.to_hub) for movement in part.movements)
        return part.movements
