"""Custom allocation: somebody else's rule, asked over a webhook (contract dps.md 9.3)."""

from collections.abc import Sequence

from homeport.dps.allocation.decision import AskWebhook, Decision, NoHub
from homeport.dps.model import Enrollment, LinkedHub


def choose(enrollment: Enrollment, hubs: Sequence[LinkedHub]) -> Decision:
    """Name the webhook to ask, and the hubs it may answer with."""
    if enrollment.custom_allocation is None:
        return NoHub(reason="custom allocation needs a webhook, and the enrollment names none")
    return AskWebhook(webhook=enrollment.custom_allocation, candidates=tuple(hubs))
