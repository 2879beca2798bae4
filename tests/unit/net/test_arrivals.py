"""Connections and handshakes are counted for each network, and no network keeps the others out."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.limits import Rate
from homeport.net.arrivals import DEFAULT_ARRIVALS, Arrivals, Refusal
from homeport.values import replace

FEW = replace(
    DEFAULT_ARRIVALS,
    connections=100,
    address_connections=50,
    address_new_connections=None,
    handshakes=4,
    address_handshakes=2,
    waiting_handshakes=10,
)


@dataclass(eq=False)
class Visitor:
    address: str
    arrivals: Arrivals
    begun: int = 0
    aborted: int = 0

    def begin(self) -> None:
        assert not self.aborted
        self.begun += 1

    def abort(self) -> None:
        self.aborted += 1


@dataclass
class Door:
    """Arrivals with a clock that stands still."""

    arrivals: Arrivals
    now: list[float] = field(default_factory=lambda: [0.0])

    def visit(self, address: str) -> Visitor:
        visitor = Visitor(address, self.arrivals)
        if self.arrivals.arrived(visitor, address):
            self.arrivals.knocked(visitor)
        return visitor


def door(**limits: object) -> Door:
    now = [0.0]
    arrivals = Arrivals(replace(FEW, **limits), now=lambda: now[0])  # type: ignore[arg-type]  # names and values go together
    return Door(arrivals, now)


def test_handshakes_take_turns_between_networks() -> None:
    at = door()
    greedy = [at.visit("192.0.2.1") for _ in range(8)]
    assert [each.begun for each in greedy] == [1, 1, 0, 0, 0, 0, 0, 0]
    modest = [at.visit("192.0.2.2"), at.visit("2001:db8::1")]
    assert [each.begun for each in modest] == [1, 1]
    # All four are busy: the next one free goes to whoever's turn it is, not to whoever has waited longest.
    late = at.visit("192.0.2.3")
    assert late.begun == 0
    at.arrivals.established(greedy[0])
    assert sum(each.begun for each in greedy) == 3
    at.arrivals.established(greedy[1])
    assert late.begun == 1


def test_one_ipv6_network_is_one_client() -> None:
    at = door()
    visitors = [at.visit(f"2001:db8:0:1::{number}") for number in range(1, 5)]
    assert [each.begun for each in visitors] == [1, 1, 0, 0]


def test_a_flood_does_not_take_the_waiting_places_of_others() -> None:
    at = door()
    flood = [at.visit("192.0.2.1") for _ in range(20)]
    assert at.arrivals.refused[Refusal.TOO_MANY_WAITING] == 8
    others = [at.visit(f"198.51.100.{number}") for number in range(4)]
    assert [each.aborted for each in others] == [0, 0, 0, 0]
    assert at.arrivals.waiting <= FEW.waiting_handshakes
    for each in flood[:2]:
        at.arrivals.left(each)
    assert sum(each.begun for each in others) >= 2
    assert at.arrivals.is_shedding
    at.now[0] += 60
    assert not at.arrivals.is_shedding


def test_who_has_not_spoken_takes_no_turn() -> None:
    at = door()
    silent = [Visitor("192.0.2.1", at.arrivals) for _ in range(30)]
    assert all(at.arrivals.arrived(each, each.address) for each in silent)
    assert at.visit("192.0.2.1").begun == 1
    assert at.arrivals.connections == 31


def test_slow_handshakes_of_one_network_make_room_for_its_others() -> None:
    at = door()
    slow = [at.visit("192.0.2.1") for _ in range(2)]
    at.now[0] += 3
    assert at.visit("192.0.2.1").begun == 1
    assert [each.aborted for each in slow] == [1, 0]


def test_silent_strangers_do_not_hold_the_handshakes() -> None:
    at = door()
    strangers = [at.visit(f"192.0.2.{number}") for number in (1, 1, 2, 2)]
    early = at.visit("198.51.100.1")
    assert early.begun == 0
    at.now[0] += 3
    # Whoever comes now finds places held for three seconds by those who have several.
    late = at.visit("198.51.100.2")
    assert [each.aborted for each in strangers] == [1, 0, 0, 0]
    assert early.begun + late.begun == 1
    at.visit("198.51.100.3")
    assert early.begun + late.begun == 2
    assert at.arrivals.refused == {Refusal.SLOW: 2}


def test_few_come_in_while_those_inside_wait() -> None:
    busy = [True]
    limits = replace(FEW, handshakes=16, address_handshakes=16, waiting_handshakes=50)
    arrivals = Arrivals(limits, now=lambda: 0.0, is_busy=lambda: busy[0])
    visitors = [Visitor("192.0.2.1", arrivals) for _ in range(20)]
    for each in visitors:
        arrivals.arrived(each, each.address)
        arrivals.knocked(each)
    assert sum(each.begun for each in visitors) == 2
    arrivals.established(visitors[0])
    assert sum(each.begun for each in visitors) == 3
    busy[0] = False
    arrivals.established(visitors[1])
    assert sum(each.begun for each in visitors) == 18


def test_connections_of_one_network_and_of_all() -> None:
    at = door(address_connections=3, connections=5, handshakes=50, address_handshakes=50)
    mine = [at.visit("192.0.2.1") for _ in range(4)]
    assert [each.aborted for each in mine] == [0, 0, 0, 1]
    others = [at.visit(f"192.0.2.{number}") for number in (2, 3, 4)]
    assert [each.aborted for each in others] == [0, 0, 1]
    at.arrivals.left(mine[0])
    assert at.visit("192.0.2.5").aborted == 0
    assert at.arrivals.refused == {Refusal.ADDRESS_FULL: 1, Refusal.FULL: 1}


def test_new_connections_in_a_time() -> None:
    at = door(address_new_connections=Rate(3, 10), handshakes=50, address_handshakes=50)
    assert [at.visit("192.0.2.1").aborted for _ in range(5)] == [0, 0, 0, 1, 1]
    assert at.visit("192.0.2.2").aborted == 0
    at.now[0] += 10
    assert at.visit("192.0.2.1").aborted == 0


def test_the_ip_filter_comes_first() -> None:
    at = door()
    visitor = Visitor("203.0.113.9", at.arrivals)
    assert not at.arrivals.arrived(visitor, visitor.address, allowed=False)
    assert visitor.aborted == 1
    assert at.arrivals.refused == {Refusal.FILTERED: 1}
    assert at.arrivals.connections == 0


steps = st.lists(st.tuples(st.sampled_from(["arrive", "establish", "leave"]), st.integers(0, 30)), max_size=200)


@settings(deadline=None)
@given(steps)
def test_whatever_happens_the_limits_hold_and_nobody_is_forgotten(steps: list[tuple[str, int]]) -> None:
    at = door()
    arrivals, inside, done = at.arrivals, list[Visitor](), set[Visitor]()
    for step, number in steps:
        shaking = [each for each in inside if each.begun and each not in done]
        if step == "arrive":
            inside.append(at.visit(f"192.0.2.{number % 5}"))
        elif step == "establish" and shaking:
            chosen = shaking[number % len(shaking)]
            done.add(chosen)
            arrivals.established(chosen)
        elif step == "leave" and inside:
            arrivals.left(inside.pop(number % len(inside)))
        inside = [each for each in inside if not each.aborted]
        assert arrivals.connections == len(inside)
        assert arrivals.handshakes <= FEW.handshakes
        assert arrivals.waiting <= FEW.waiting_handshakes
        assert arrivals.waiting == sum(not each.begun for each in inside)
        assert all(each.begun + each.aborted <= 1 for each in inside)
    for each in list(inside):
        arrivals.left(each)
    assert (arrivals.connections, arrivals.handshakes, arrivals.waiting) == (0, 0, 0)
