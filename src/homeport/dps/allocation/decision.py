"""What choosing a hub can end in, and the hubs there are to choose from (contract dps.md 9.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

from homeport.dps.model import CustomAllocation, Enrollment, LinkedHub


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """This hub; `reason` says for the operator how it was chosen."""

    hub: LinkedHub
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskWebhook:
    """The enrollment's webhook decides among these."""

    webhook: CustomAllocation
    candidates: tuple[LinkedHub, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoHub:
    """There is nothing to assign to; `reason` says why."""

    reason: str


Decision = Assign | AskWebhook | NoHub


def named_hosts(enrollment: Enrollment) -> tuple[str, ...]:
    """Return the hubs the enrollment names itself; `iotHubHostName` is the older way to name one."""
    if enrollment.iot_hubs:
        return enrollment.iot_hubs
    return (enrollment.iot_hub_host_name,) if enrollment.iot_hub_host_name else ()


def by_host(hubs: Sequence[LinkedHub], host: str) -> LinkedHub | None:
    """Find a linked hub by its host name, ignoring case."""
    wanted = host.lower()
    return next((hub for hub in hubs if hub.host_name.lower() == wanted), None)


def candidates(enrollment: Enrollment, hubs: Sequence[LinkedHub]) -> tuple[LinkedHub, ...] | NoHub:
    """Return the hubs that take part: the enrollment's own if it names any, else all (contract dps.md 9.1)."""
    named = {host.lower() for host in named_hosts(enrollment)}
    linked = [hub for hub in hubs if not named or hub.host_name.lower() in named]
    found = tuple(hub for hub in linked if hub.apply_allocation_policy)
    if found:
        return found
    if linked:
        return NoHub(reason="every hub that could be chosen is set not to take part in allocation")
    if named:
        return NoHub(reason=f"none of the hubs that the enrollment names is linked: {', '.join(sorted(named))}")
    return NoHub(reason="no hub is linked to the provisioning service")
