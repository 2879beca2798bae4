"""IP filter rules: the first match decides, both families, and what cannot be used is refused by name."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.security.ip_filter import MAX_RULES, Action, Door, IpFilter, Rule, RuleError, check_rules


def rule(action: Action, network: str, door: Door | None = None, name: str = "") -> Rule:
    return Rule(name=name or f"{action.value}-{network}", action=action, network=network, door=door)


ALLOW, DENY = Action.ALLOW, Action.DENY


def test_without_rules_everybody_may_come_in() -> None:
    assert IpFilter().decide("192.0.2.1", Door.SERVICE) == (True, None)


def test_the_first_match_decides() -> None:
    rules = [rule(ALLOW, "192.0.2.0/28"), rule(DENY, "192.0.2.0/24"), rule(ALLOW, "any")]
    decide = IpFilter(rules).decide
    assert decide("192.0.2.3", Door.DEVICES) == (True, rules[0])
    assert decide("192.0.2.200", Door.DEVICES) == (False, rules[1])
    assert decide("2001:db8::1", Door.DEVICES) == (True, rules[2])


def test_a_door_has_rules_of_its_own() -> None:
    decide = IpFilter([rule(ALLOW, "10.0.0.0/8", Door.SERVICE), rule(DENY, "any", Door.SERVICE)]).decide
    assert decide("10.1.1.1", Door.SERVICE).allowed
    assert not decide("192.0.2.1", Door.SERVICE).allowed
    assert decide("192.0.2.1", Door.DEVICES).allowed
    assert decide("192.0.2.1", Door.PORTAL).allowed


@pytest.mark.parametrize(
    ("network", "address", "matches"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::/32", "2001:db8:1::1%eth0", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "192.0.2.1", False),
        ("any", "192.0.2.1", True),
        ("any", "no address", True),
        ("0.0.0.0/0", "no address", False),
    ],
)
def test_matching(network: str, address: str, *, matches: bool) -> None:
    assert IpFilter([rule(DENY, network)]).decide(address, Door.DEVICES).allowed is not matches


@given(st.lists(st.tuples(st.sampled_from(Action), st.ip_addresses(v=4), st.integers(0, 32)), max_size=20),
       st.ip_addresses(v=4))  # fmt: skip
def test_as_the_definition_says(
    drawn: list[tuple[Action, ipaddress.IPv4Address, int]], address: ipaddress.IPv4Address
) -> None:
    networks = [(action, ipaddress.ip_network((base, size), strict=False)) for action, base, size in drawn]
    expected = next((action is ALLOW for action, network in networks if address in network), True)
    rules = [rule(action, str(network)) for action, network in networks]
    assert IpFilter(rules).decide(str(address), Door.DEVICES).allowed is expected


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        ([rule(ALLOW, "192.0.2.1/24", name="host-bits")], "host-bits"),
        ([rule(ALLOW, "example.com", name="no-address")], "no-address"),
        ([rule(ALLOW, "any", name="two"), rule(DENY, "any", name="TWO")], "TWO"),
        ([rule(ALLOW, "any", name="a b")], "a b"),
        ([rule(ALLOW, "any", name=f"r{number}") for number in range(MAX_RULES + 1)], "101"),
    ],
)
def test_what_cannot_be_used(rules: list[Rule], complaint: str) -> None:
    with pytest.raises(RuleError, match=complaint):
        check_rules(rules)
