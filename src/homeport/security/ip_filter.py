"""Which addresses may reach which door: ordered rules, the first that matches decides, and without a match all may.

Pure. Limits of sizes and names are those of Azure's own filters, so that rules can be carried over.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

MAX_RULES = 100
ANY = "any"
"""Stands for every address of both families."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:.+%_#*?!(),=@;']{0,127}")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Action(StrEnum):
    """What a rule does with whom it matches."""

    ALLOW = "allow"
    DENY = "deny"


class Door(StrEnum):
    """What is protected: the devices' endpoints, the APIs for administrators and back ends, the portal."""

    DEVICES = "devices"
    SERVICE = "service"
    PORTAL = "portal"


class Rule(Struct, frozen=True, kw_only=True):
    """`network` is an address, a network in CIDR form, or `any`. Without `door` the rule is for all of them."""

    name: str
    action: Action
    network: str
    door: Door | None = None


class RuleError(ValueError):
    """A rule cannot be used; the text says which and why."""


class Decision(NamedTuple):
    """`rule` is the one that decided; None if none matched."""

    allowed: bool
    rule: Rule | None


def check_rules(rules: Sequence[Rule]) -> None:
    """Raise RuleError unless the rules can be used: their number, names and networks."""
    if len(rules) > MAX_RULES:
        raise RuleError(f"There are {len(rules)} rules; {MAX_RULES} is the most.")
    seen: set[str] = set()
    for rule in rules:
        if _NAME.fullmatch(rule.name) is None:
            raise RuleError(f"The name {rule.name[:130]!r} is not 1-128 of the allowed characters.")
        if rule.name.lower() in seen:
            raise RuleError(f"There are two rules named {rule.name!r}.")
        seen.add(rule.name.lower())
        _networks(rule)


class IpFilter:
    """Rules made ready to be asked at every connection."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        """Take the rules in their order. Raises RuleError for a network that cannot be read."""
        self._rules = [(rule, _networks(rule)) for rule in rules]
        # Per object, so that new rules begin with nothing remembered.
        self.decide = lru_cache(maxsize=4096)(self._decide)

    def _decide(self, address: str, door: Door) -> Decision:
        """Judge an address; one that cannot be read matches `any` only."""
        parsed = read_address(address)
        for rule, networks in self._rules:
            if rule.door is not None and rule.door is not door:
                continue
            if rule.network == ANY or (parsed is not None and any(parsed in network for network in networks)):
                return Decision(rule.action is Action.ALLOW, rule)
        return Decision(allowed=True, rule=None)


def read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address without its zone; an IPv4 address that is mapped into IPv6 is the IPv4 address."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _networks(rule: Rule) -> tuple[_Network, ...]:
    if rule.network == ANY:
        return ()
    try:
        return (ipaddress.ip_network(rule.network),)
    except ValueError as error:
        raise RuleError(f"Rule {rule.name!r}: {error}.") from None
