"""What happens when a device registers again: whether a hub is chosen anew, and what becomes of its data (dps.md 9.4).

Pure rules. Which hub is chosen is `allocation`'s; carrying the plan out is the assigner's.
"""

from msgspec import Struct

from homeport.dps.model import Assignment, ReprovisionPolicy, Substatus
from homeport.wire.versions import keeps_hub_without_policy

DEFAULT_POLICY = ReprovisionPolicy(update_hub_assignment=True, migrate_device_data=True)


class Begin(Struct, frozen=True, kw_only=True):
    """The device has no home yet: give it one, with the initial twin."""

    target: Assignment

    @property
    def success(self) -> Substatus:
        return Substatus.INITIAL_ASSIGNMENT


class Keep(Struct, frozen=True, kw_only=True):
    """The device stays where it is, with its twin; its credential is brought up to date."""

    target: Assignment

    @property
    def success(self) -> Substatus:
        return Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT


class Move(Struct, frozen=True, kw_only=True):
    """The device goes to `target`, and its twin and capabilities with it; then `leaves` is given up."""

    target: Assignment
    leaves: Assignment

    @property
    def success(self) -> Substatus:
        return Substatus.DEVICE_DATA_MIGRATED


class Reset(Struct, frozen=True, kw_only=True):
    """The initial twin is written at `target`, whether the device `moved` there or stays; `leaves` is given up."""

    target: Assignment
    moved: bool
    leaves: Assignment | None

    @property
    def success(self) -> Substatus:
        return Substatus.DEVICE_DATA_RESET if self.moved else Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT


Plan = Begin | Keep | Move | Reset


def stays(current: Assignment | None, policy: ReprovisionPolicy | None, api_version: str) -> bool:
    """Tell whether the device keeps its hub whatever has changed, so that none needs to be chosen.

    A policy that is present decides alone; without one, old devices stay (contract dps.md 9.4).
    """
    if current is None:
        return False
    if policy is None:
        return keeps_hub_without_policy(api_version)
    return not policy.update_hub_assignment


def plan(current: Assignment | None, target: Assignment, policy: ReprovisionPolicy | None, api_version: str) -> Plan:
    """Compare the device's home with the one chosen for it. `target` does not count if the device stays."""
    if current is None:
        return Begin(target=target)
    if stays(current, policy, api_version):
        return Keep(target=current)
    migrate = (policy or DEFAULT_POLICY).migrate_device_data
    if same_home(current, target):
        return Keep(target=target) if migrate else Reset(target=target, moved=False, leaves=None)
    return Move(target=target, leaves=current) if migrate else Reset(target=target, moved=True, leaves=current)


def same_home(one: Assignment, other: Assignment) -> bool:
    """Tell whether two assignments name the same device of the same hub; host names ignore case, device ids do not."""
    return one.hub.lower() == other.hub.lower() and one.device_id == other.device_id
