"""Invariant: whatever bytes a client sends, the hub's readers give a value or a HubError, and nothing else."""

from contextlib import suppress

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from homeport.hub import translate
from homeport.hub.errors import HubError
from homeport.hub.frontends.mqtt import UserName
from homeport.hub.identifiers import is_identity_id
from homeport.hub.telemetry import parse_bag
from homeport.hub.twin_patch import content_size, new_twin, patch_twin
from homeport.wire import WireError, decode
from homeport.wire import hub_service as wire
from tests.unit.hub.test_twin_patch import T0

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    [
        "deviceId",
        "id",
        "authentication",
        "type",
        "symmetricKey",
        "primaryKey",
        "status",
        "tags",
        "properties",
        "desired",
    ]
)
documents = st.recursive(
    json_values, lambda inner: st.dictionaries(names, inner, max_size=5) | st.lists(inner, max_size=3), max_leaves=15
)
bodies = st.binary(max_size=200) | documents.map(msgspec.json.encode)
deep = st.integers(1, 5000).map(lambda depth: b'{"tags":' * depth + b"1" + b"}" * depth)


@given(bodies | deep)
def test_identities(body: bytes) -> None:
    with suppress(WireError, HubError):
        write = translate.read_identity("d1", decode(wire.device_decoder, body))
        assert write.device_id == "d1"


@given(bodies | deep)
def test_twins(body: bytes) -> None:
    with suppress(WireError, HubError):
        parts = translate.read_twin(decode(wire.twin_decoder, body))
        twin = patch_twin(new_twin("d1", T0), T0, tags=parts.tags, desired=parts.desired)
        assert content_size(twin.tags) <= 8 * 1024


@given(bodies | deep)
def test_bulk_entries(body: bytes) -> None:
    with suppress(WireError, HubError):
        for entry in decode(wire.bulk_decoder, body):
            translate.read_import_mode(entry)
            assert is_identity_id(translate.read_bulk_identity(entry).device_id)


@given(st.text(max_size=100), st.text(min_size=1, max_size=20))
def test_user_names(text: str, client_id: str) -> None:
    name = UserName.parse(text, client_id)
    assert name is None or text.startswith(f"{name.host}/{name.client_id}")


@given(st.text(alphabet="%$.=&/abC4 ä", max_size=60))
def test_property_bags(text: str) -> None:
    bag = parse_bag(text)
    assert all(not name.startswith("$.") for name in bag.properties)
