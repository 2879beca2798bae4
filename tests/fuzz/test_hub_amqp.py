"""Whatever a device says to a hub over AMQP is telemetry, a refusal or broken AMQP; what is said to it can be read.

The messages themselves are taken apart by `proto.amqp`, whose fuzz tests are in test_amqp.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.amqp.addresses import is_words, read_path, readings
from homeport.hub.frontends.amqp.device_addresses import read_device_path
from homeport.hub.frontends.amqp.device_messages import read_telemetry, write_cloud_message
from homeport.hub.frontends.amqp.errors import link_error
from homeport.hub.identifiers import is_identity_id
from homeport.hub.messages import Delivery
from homeport.hub.model import Acknowledgement, CloudMessage, Lock, QueuedMessage
from homeport.proto.amqp import (
    BATCH_FORMAT,
    Data,
    Message,
    Properties,
    RemoteProtocolError,
    Symbol,
    Timestamp,
    decode_message,
    encode_message,
)
from tests.fuzz.test_dps_amqp import BODIES, IDS, VALUES

TIMES = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1).map(Timestamp))
NAMES = st.one_of(st.sampled_from(["iothub-creation-time-utc", "iothub-operation", "dt-subject"]), st.text(max_size=9))
ASCII = st.text(st.characters(max_codepoint=126), max_size=9)
MESSAGES = st.builds(
    Message,
    message_annotations=st.one_of(st.none(), st.dictionaries(ASCII.map(Symbol), VALUES, max_size=3)),
    properties=st.one_of(
        st.none(),
        st.builds(
            Properties,
            message_id=IDS,
            correlation_id=IDS,
            user_id=st.one_of(st.none(), st.binary(max_size=9)),
            content_type=st.one_of(st.none(), ASCII),
            absolute_expiry_time=TIMES,
        ),
    ),
    application_properties=st.one_of(st.none(), st.dictionaries(NAMES, st.one_of(VALUES, TIMES), max_size=4)),
    body=BODIES,
)
NOW = datetime(2024, 6, 1, tzinfo=UTC)


@given(st.text())
@example("amqps://host:5671//devices/%2F/messages/events/")
@example("devices/a/modules/b/twin")
@example("devices/modules/messages/events")
def test_addresses(text: str) -> None:
    path = read_path(text)
    if path is None:
        return
    assert all(path)
    assert path in readings(path)
    found = read_device_path(path)
    if found is not None:
        assert is_words(path[:1], "devices")
        assert found[0]
        assert all(is_identity_id(identity) for identity in found[0])


@given(MESSAGES)
def test_telemetry(message: Message) -> None:
    with suppress(HubError):
        ((body, bag),) = read_telemetry(encode_message(message), 0)
        assert isinstance(body, bytes)
        for section in (bag.system, bag.properties):
            assert all(type(name) is str for name in section)
            assert all(value is None or type(value) is str for value in section.values())


@given(st.lists(MESSAGES, max_size=4))
def test_batches(messages: list[Message]) -> None:
    data = encode_message(Message(body=Data(tuple(encode_message(each) for each in messages))))
    try:
        read = read_telemetry(data, BATCH_FORMAT)
    except HubError:
        return
    assert len(read) == len(messages)
    assert read == [read_telemetry(encode_message(each), 0)[0] for each in messages]


@given(st.binary(), st.sampled_from([0, 1, BATCH_FORMAT]))
def test_any_bytes(data: bytes, message_format: int) -> None:
    with suppress(HubError, RemoteProtocolError):
        read_telemetry(data, message_format)


TEXTS = st.text(max_size=20)


@given(
    st.dictionaries(st.sampled_from(["mid", "cid", "uid", "ct", "ce", "ctime"]), TEXTS),
    st.dictionaries(TEXTS, TEXTS, max_size=3),
    st.binary(max_size=20),
    st.sampled_from(Acknowledgement),
    st.uuids(),
    st.integers(0, 1000),
)
def test_what_is_sent_can_be_read(
    system: dict[str, str],
    properties: dict[str, str],
    body: bytes,
    acknowledgement: Acknowledgement,
    token: UUID,
    count: int,
) -> None:
    message = CloudMessage(
        body=body,
        system=system,
        properties=properties,
        acknowledgement=acknowledgement,
        enqueued_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    lock = Lock(token=str(token), until=NOW, of_connection=True)
    queued = QueuedMessage(
        sequence_number=1,
        message_id=message.message_id,
        acknowledgement=acknowledgement,
        enqueued_at=NOW,
        expires_at=message.expires_at,
        delivery_count=count,
        lock=lock,
    )
    tag, written = write_cloud_message("d1/m1", Delivery(queued=queued, message=message))
    assert UUID(bytes_le=tag) == token
    read = decode_message(encode_message(written))
    assert read.data == body
    assert (read.properties and read.properties.message_id) == (system.get("mid") or None)
    assert all(isinstance(value, str) for value in (read.application_properties or {}).values())


@given(st.sampled_from(HubCode), TEXTS)
def test_refusals(code: HubCode, message: str) -> None:
    error = link_error(HubError(code, message))
    assert Symbol(error.condition).isascii()
    assert error.info is not None
    assert error.info["com.microsoft:error-code"] == code.number
