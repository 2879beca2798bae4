"""The bag of a cloud-to-device message as each SDK needs it (contract hub.md 13.5)."""

import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote_plus

from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.message_bag import write_bag
from homeport.hub.model import Acknowledgement, CloudMessage
from homeport.hub.telemetry import parse_bag

WHEN = datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=UTC)


def message(**changes: object) -> CloudMessage:
    return CloudMessage(**{"body": b"", "enqueued_at": WHEN, "expires_at": WHEN, **changes})  # type: ignore[arg-type]


def test_everything_in_its_order_and_spelling() -> None:
    bag = write_bag(
        "d1",
        message(
            system={"ct": "application/json", "mid": "a+b c", "cid": ""},
            properties={"k&y": "v=/#?%", "empty": "", "iothub-operation": "x", "é": "ü"},
            acknowledgement=Acknowledgement.FULL,
        ),
    )
    assert bag.split("&") == [
        "%24.to=%2Fdevices%2Fd1%2Fmessages%2FdeviceBound",
        "%24.mid=a%2Bb%20c",
        "%24.ct=application%2Fjson",
        "%24.exp=2026-01-02T03%3A04%3A05.6000000Z",
        "iothub-ack=full",
        "k%26y=v%3D%2F%23%3F%25",
        "%C3%A9=%C3%BC",
    ]


def test_a_module_has_its_own_address() -> None:
    assert write_bag("d1/m1", message()).startswith("%24.to=%2Fdevices%2Fd1%2Fmodules%2Fm1%2Fmessages%2FdeviceBound&")


texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.dictionaries(texts, texts, max_size=4))
def test_every_reader_gets_the_same(properties: dict[str, str]) -> None:
    bag = write_bag("d", message(properties=properties))
    kept = {name: value for name, value in properties.items() if not name.lower().startswith("iothub-")}
    # As devices' SDKs in C and Python read it, as Java does, and as Node does.
    assert {n: v for n, v in parse_bag(bag).properties.items() if n != "iothub-ack"} == kept
    items = [item.split("=") for item in bag.split("&")]
    assert all(len(item) == 2 for item in items)
    decoded = {unquote_plus(name): unquote_plus(value) for name, value in items}
    assert {n: v for n, v in decoded.items() if not n.startswith("$.")} == {
        n: v for n, v in kept.items() if not n.startswith("$.")
    }
    assert dict(parse_qsl(bag, keep_blank_values=True)) == decoded
    assert re.fullmatch(r"[A-Za-z0-9\-._~%=&]+", bag)
