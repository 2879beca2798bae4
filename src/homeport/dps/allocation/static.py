"""Static configuration: the one hub that the enrollment names (contract dps.md 9.2)."""

from homeport.dps.allocation.decision import Assign, Decision, NoHub, closed, named_hosts
from homeport.dps.model import Enrollment, Fleet
from homeport.dps.model.hub import by_host


def choose(enrollment: Enrollment, fleet: Fleet, lives_on: str | None) -> Decision:
    """Take the named hub, even if it does not take part in allocation (contract dps.md 9.1)."""
    named = named_hosts(enrollment)
    if len(named) != 1:
        count = len(named) or "no"
        return NoHub(reason=f"static allocation needs an enrollment that names exactly one hub; this one names {count}")
    hub = by_host(fleet.hubs, named[0])
    if hub is None:
        return NoHub(reason=f"the enrollment names the hub {named[0]}, which is not linked")
    reason = closed(hub, lives_on, fleet.occupied)
    if reason is not None:
        return NoHub(reason=f"the enrollment names the hub {hub.host_name}, but {reason}")
    return Assign(hub=hub, reason="the enrollment names this hub")
