"""Property bags as SDKs write them (contract hub.md 13.4)."""

from datetime import UTC, datetime
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.telemetry import EMPTY_BAG, make_message, parse_bag

NOW = datetime(2024, 1, 1, tzinfo=UTC)
names = st.text(min_size=1, max_size=8).filter(
    lambda name: not name.startswith("$.") and name not in {"iothub-ack", "iothub-operation"}
)


def encoded(text: str) -> str:
    return quote(text, safe="")


@given(st.dictionaries(names, st.text(max_size=8), max_size=5))
def test_what_was_encoded_comes_back(properties: dict[str, str]) -> None:
    bag = parse_bag("&".join(f"{encoded(name)}={encoded(value)}" for name, value in properties.items()))
    assert dict(bag.properties) == properties
    assert not bag.system
    assert bag.size == sum(len(name.encode()) + len(value.encode()) for name, value in properties.items())


@given(st.text(max_size=60))
def test_anything_can_be_read(text: str) -> None:
    bag = parse_bag(text)
    assert bag.size >= 0


def test_system_properties_in_both_spellings() -> None:
    bag = parse_bag("%24.mid=1&%24.ct=application%2Fjson&$.ce=utf-8&iothub-ack=full&a=b/")
    assert dict(bag.system) == {"mid": "1", "ct": "application/json", "ce": "utf-8", "iothub-ack": "full"}
    assert dict(bag.properties) == {"a": "b"}
    assert bag.size == len("1") + len("application/json") + len("utf-8") + len("full") + len("a") + len("b")


def test_a_name_alone_an_empty_value_and_a_plus() -> None:
    assert dict(parse_bag("alone&empty=&plus=a+b").properties) == {"alone": None, "empty": "", "plus": "a+b"}


def test_what_c_sends_raw_stays_raw() -> None:
    bag = parse_bag("rate=100%&path=%zz&half=%4&bad=%ff&fine=%41")
    assert dict(bag.properties) == {"rate": "100%", "path": "%zz", "half": "%4", "bad": "%ff", "fine": "A"}


def test_an_empty_bag() -> None:
    assert parse_bag("") is EMPTY_BAG
    assert parse_bag("/") is EMPTY_BAG
    assert not parse_bag("&&").properties


def test_some_system_properties_become_annotations() -> None:
    bag = parse_bag("%24.sub=thermostat1&%24.ctime=2024-01-01T00%3A00%3A00Z&%24.ifid=")
    message = make_message("d", b"x", bag, {"iothub-message-source": "Telemetry"}, NOW)
    assert dict(message.annotations) == {
        "iothub-message-source": "Telemetry",
        "dt-subject": "thermostat1",
        "iothub-creation-time-utc": "2024-01-01T00:00:00Z",
    }
