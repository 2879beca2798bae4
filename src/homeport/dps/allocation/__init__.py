"""Which hub is a device assigned to? Values in, a decision out; each policy has its file (contract dps.md 9.1, 9.2)."""

from homeport.dps.allocation.choosing import allocate, policy_of
from homeport.dps.allocation.custom import judge
from homeport.dps.allocation.decision import AskCustom, Assign, Decision, Exclusion, NoHub, named_hosts, open_hosts
from homeport.dps.allocation.explanation import Candidate, Explanation, explain
from homeport.dps.model.hub import by_host

__all__ = [
    "AskCustom",
    "Assign",
    "Candidate",
    "Decision",
    "Exclusion",
    "Explanation",
    "NoHub",
    "allocate",
    "by_host",
    "explain",
    "judge",
    "named_hosts",
    "open_hosts",
    "policy_of",
]
