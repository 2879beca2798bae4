"""Custom allocation: somebody else's rule, whose answer must pass the same check (contract dps.md 9.3)."""

from collections.abc import Sequence

from homeport.dps.allocation.decision import AskCustom, Assign, Decision, NoHub, closed
from homeport.dps.model import Enrollment, Fleet, LinkedHub
from homeport.dps.model.hub import by_host
from homeport.security.explain import quoted


def choose(enrollment: Enrollment, hubs: Sequence[LinkedHub]) -> Decision:
    """Name whom to ask, and the hubs the answer may be."""
    if enrollment.custom_allocation is None:
        return NoHub(reason="custom allocation needs a webhook, and the enrollment names none")
    return AskCustom(definition=enrollment.custom_allocation, candidates=tuple(hubs))


def judge(host: str, offered: Sequence[str], fleet: Fleet, lives_on: str | None) -> Assign | NoHub:
    """Check the hub that was answered: it was offered, and it is still linked and open to the device."""
    if host.lower() not in {each.lower() for each in offered}:
        return NoHub(reason=f"the answer names {quoted(host)}, which is none of the hubs it was offered")
    hub = by_host(fleet.hubs, host)
    if hub is None:
        return NoHub(reason=f"the answer names {host}, which is not linked any more")
    reason = closed(hub, lives_on, fleet.occupied)
    if reason is not None:
        return NoHub(reason=f"the answer names {host}, but {reason} by now")
    return Assign(hub=hub, reason="custom allocation chose this hub")
