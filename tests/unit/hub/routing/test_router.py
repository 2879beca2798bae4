"""Which endpoints a message goes to, and what it is given on the way."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.model import (
    BUILT_IN,
    Enrichment,
    EventStreamEndpoint,
    MessageSource,
    Route,
    Routing,
    Telemetry,
)
from homeport.hub.routing.router import Router
from homeport.hub.twin_patch import new_twin
from homeport.values import replace

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
SENT = MessageSource.DEVICE_MESSAGES
TWIN = new_twin("dev", NOW, tags={"site": "A", "n": 3, "o": {"b": True}}, desired={"rate": 5}, reported={"fw": "1"})
MESSAGE = Telemetry(
    device_id="dev", body=b"x", system={}, properties={"level": "3", "own": "1"}, annotations={}, enqueued_at=NOW
)
ENDPOINTS = tuple(EventStreamEndpoint(name=name, partitions=n) for n, name in enumerate("abc", 1))


def route(
    name: str, condition: str = "true", *endpoints: str, source: MessageSource = SENT, enabled: bool = True
) -> Route:
    return Route(name=name, source=source, condition=condition, endpoints=endpoints or ("a",), enabled=enabled)


def went(routing: Routing, source: MessageSource = SENT) -> list[str]:
    return [
        each.endpoint for each in Router(replace(routing, endpoints=ENDPOINTS), "hub1").route(source, MESSAGE, TWIN)
    ]


def test_without_routes_everything_goes_to_the_built_in_endpoint() -> None:
    router = Router(Routing(), "hub1")
    assert router.plain
    assert [each.endpoint for each in router.route(SENT, MESSAGE, None)] == [BUILT_IN]
    assert [source for source in MessageSource if router.takes(source)] == [SENT]


def test_a_route_that_matches_keeps_messages_from_the_fallback() -> None:
    assert went(Routing(routes=(route("r", "level = '3'"),))) == ["a"]
    assert went(Routing(routes=(route("r", "level = '4'"),))) == [BUILT_IN]
    assert went(Routing(routes=(route("r", "level = '3'"), route("b", "true", BUILT_IN)))) == ["a", BUILT_IN]


def test_without_the_fallback_what_no_route_takes_is_dropped() -> None:
    assert went(Routing(fallback=False)) == []
    assert went(Routing(routes=(route("r", "level = '4'"),), fallback=False)) == []
    assert not Router(Routing(fallback=False), "hub1").takes(SENT)


def test_undefined_is_no_match() -> None:
    assert went(Routing(routes=(route("r", "missing = 1"), route("n", "NOT missing = 1", "b")))) == [BUILT_IN]


def test_a_message_arrives_once_where_several_routes_send_it() -> None:
    routes = (route("r", "true", "a", "b"), route("s", "true", "b", "a"), route("t", "level = '3'", "c"))
    assert went(Routing(routes=routes)) == ["a", "b", "c"]


def test_a_route_that_is_off_is_none() -> None:
    routing = Routing(routes=(route("r", enabled=False),))
    assert went(routing) == [BUILT_IN]
    assert Router(routing, "hub1").plain


def test_the_fallback_is_for_device_messages_only() -> None:
    twins = MessageSource.TWIN_CHANGES
    assert went(Routing(), twins) == []
    assert went(Routing(routes=(route("r", "false", source=twins),)), twins) == []
    assert went(Routing(routes=(route("r", source=twins),)), twins) == ["a"]
    assert went(Routing(routes=(route("r", source=twins),))) == [BUILT_IN]


def test_a_message_knows_the_partitions_of_where_it_goes() -> None:
    routing = Routing(routes=(route("r", "true", "a", "c", BUILT_IN),), endpoints=ENDPOINTS, built_in_partitions=9)
    assert [each.partitions for each in Router(routing, "hub1").route(SENT, MESSAGE, None)] == [1, 3, 9]


def test_what_goes_to_an_endpoint_that_is_gone_is_dropped() -> None:
    assert went(Routing(routes=(route("r", "true", "a", "zz"),))) == ["a"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        ("$iothubname", "hub1"),
        ("$IotHubName", "hub1"),
        ("$twin.tags.site", "A"),
        ("$twin.tags.n", "3"),
        ("$twin.tags.o", '{"b":true}'),
        ("$twin.tags.o.b", "true"),
        ("$twin.properties.desired.rate", "5"),
        ("$twin.properties.reported.fw", "1"),
        ("$twin.tags.none", "$twin.tags.none"),
        ("$twin.tags.site.deeper", "$twin.tags.site.deeper"),
    ],
)
def test_an_enrichment_gives_a_property(value: str, expected: str) -> None:
    routing = Routing(enrichments=(Enrichment(key="k", value=value, endpoints=(BUILT_IN,)),))
    (sent,) = Router(routing, "hub1").route(SENT, MESSAGE, TWIN)
    assert sent.message.properties == {**MESSAGE.properties, "k": expected}


def test_enrichments_are_for_their_endpoints() -> None:
    routing = Routing(
        routes=(route("r", "true", "a", "b"),),
        endpoints=ENDPOINTS,
        enrichments=(
            Enrichment(key="x", value="1", endpoints=("a",)),
            Enrichment(key="own", value="hub's", endpoints=("a", "c")),
        ),
    )
    sent = {each.endpoint: each.message.properties for each in Router(routing, "hub1").route(SENT, MESSAGE, None)}
    assert sent == {"a": {"level": "3", "own": "hub's", "x": "1"}, "b": MESSAGE.properties}


def test_changes_of_digital_twins_are_not_enriched() -> None:
    changes = MessageSource.DIGITAL_TWIN_CHANGES
    routing = Routing(
        routes=(route("r", source=changes),),
        endpoints=ENDPOINTS,
        enrichments=(Enrichment(key="x", value="1", endpoints=("a",)),),
    )
    (sent,) = Router(routing, "hub1").route(changes, MESSAGE, TWIN)
    assert sent.message == MESSAGE


def test_a_twin_is_read_only_where_somebody_looks_at_it() -> None:
    by_twin = Enrichment(key="x", value="$twin.tags.site", endpoints=("b",))
    for routing, expected in (
        (Routing(enrichments=(by_twin,)), False),
        (Routing(enrichments=(replace(by_twin, endpoints=(BUILT_IN,)),)), True),
        (Routing(routes=(route("r", "true", "b"),), enrichments=(by_twin,)), True),
        (Routing(routes=(route("r", "$twin.tags.site = 'A'"),)), True),
        (Routing(routes=(route("r", "$twin.tags.site = 'A'", enabled=False),)), False),
        (Routing(routes=(route("r", "$twin.tags.site = 'A'", source=MessageSource.TWIN_CHANGES),)), False),
    ):
        assert Router(routing, "hub1").needs_twin(SENT) is expected, routing


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.lists(st.sampled_from([*"abc", BUILT_IN]), min_size=1, max_size=4)),
        max_size=6,
    ),
    st.booleans(),
)
def test_a_message_goes_where_any_route_that_matches_says(
    routes: list[tuple[bool, bool, list[str]]],
    fallback: bool,
) -> None:
    made = tuple(
        route(str(n), "level = '3'" if matches else "level = 'x'", *endpoints, enabled=enabled)
        for n, (matches, enabled, endpoints) in enumerate(routes)
    )
    wanted = {name for matches, enabled, endpoints in routes if matches and enabled for name in endpoints}
    found = went(Routing(routes=made, fallback=fallback))
    assert len(found) == len(set(found))
    assert set(found) == (wanted or ({BUILT_IN} if fallback else set()))
