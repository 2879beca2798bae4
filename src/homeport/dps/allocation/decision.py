"""What choosing a hub can end in, and the hubs there are to choose from (contract dps.md 9.1)."""

from collections.abc import Mapping

from msgspec import Struct

from homeport.dps.model import CustomAllocation, Enrollment, Fleet, LinkedHub
from homeport.dps.model.hub import by_host


class Assign(Struct, frozen=True, kw_only=True):
    """This hub; `reason` says for the operator how it was chosen."""

    hub: LinkedHub
    reason: str


class AskCustom(Struct, frozen=True, kw_only=True):
    """The enrollment's webhook or function decides among these."""

    definition: CustomAllocation
    candidates: tuple[LinkedHub, ...]


class NoHub(Struct, frozen=True, kw_only=True):
    """There is nothing to assign to; `reason` says why."""

    reason: str


Decision = Assign | AskCustom | NoHub


class Exclusion(Struct, frozen=True, kw_only=True):
    """A hub that cannot be chosen for this device, and why."""

    host_name: str
    reason: str


class Choice(Struct, frozen=True, kw_only=True):
    """The hubs that take part for a device, and those that do not."""

    candidates: tuple[LinkedHub, ...]
    exclusions: tuple[Exclusion, ...]


def named_hosts(enrollment: Enrollment) -> tuple[str, ...]:
    """Return the hubs the enrollment names itself; `iotHubHostName` is the older way to name one."""
    if enrollment.iot_hubs:
        return enrollment.iot_hubs
    return (enrollment.iot_hub_host_name,) if enrollment.iot_hub_host_name else ()


def closed(hub: LinkedHub, lives_on: str | None, occupied: Mapping[str, int]) -> str | None:
    """Say why the hub takes no new devices; None if it does, or if the device lives there already."""
    host = hub.host_name.lower()
    if lives_on is not None and lives_on.lower() == host:
        return None
    if hub.draining:
        return "it is drained: it takes no new devices"
    if hub.max_devices is not None and (there := occupied.get(host, 0)) >= hub.max_devices:
        return f"it is full: {there} devices of at most {hub.max_devices}"
    return None


def choice(enrollment: Enrollment, fleet: Fleet, lives_on: str | None) -> Choice:
    """Sort the linked hubs: the enrollment's own take part if it names any, else all (contract dps.md 9.1)."""
    named = {host.lower(): host for host in named_hosts(enrollment)}
    candidates: list[LinkedHub] = []
    exclusions: list[Exclusion] = []
    for hub in fleet.hubs:
        host = hub.host_name.lower()
        if named and host not in named:
            reason: str | None = "the enrollment names other hubs"
        elif not hub.apply_allocation_policy:
            reason = "it is set not to take part in allocation"
        else:
            reason = closed(hub, lives_on, fleet.occupied)
        if reason is None:
            candidates.append(hub)
        else:
            exclusions.append(Exclusion(host_name=hub.host_name, reason=reason))
    exclusions += [
        Exclusion(host_name=spelling, reason="the enrollment names it, but it is not linked")
        for spelling in named.values()
        if by_host(fleet.hubs, spelling) is None
    ]
    return Choice(candidates=tuple(candidates), exclusions=tuple(exclusions))


def open_hosts(enrollment: Enrollment, fleet: Fleet, lives_on: str | None) -> tuple[str, ...]:
    """Return the host names of the hubs that take part for a device."""
    return tuple(hub.host_name for hub in choice(enrollment, fleet, lives_on).candidates)


def nothing_left(enrollment: Enrollment, fleet: Fleet, exclusions: tuple[Exclusion, ...]) -> NoHub:
    """Say why a device has no candidate."""
    named = {host.lower() for host in named_hosts(enrollment)}
    if named and not any(hub.host_name.lower() in named for hub in fleet.hubs):
        return NoHub(reason=f"none of the hubs that the enrollment names is linked: {', '.join(sorted(named))}")
    if not fleet.hubs:
        return NoHub(reason="no hub is linked to the provisioning service")
    told = [f"{each.host_name}: {each.reason}" for each in exclusions if not named or each.host_name.lower() in named]
    return NoHub(reason=f"no hub can be chosen ({'; '.join(told)})")
