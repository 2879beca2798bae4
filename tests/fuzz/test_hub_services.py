"""Invariant: whatever a service sends over AMQP, reading it gives a message, a HubError or a RemoteProtocolError."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.errors import HubError
from homeport.hub.frontends.amqp.service_messages import read_cloud_message
from homeport.hub.identifiers import is_identity_id
from homeport.hub.queue_settings import LONGEST_LIFE
from homeport.proto.amqp import AmqpValue, Data, Message, Properties, RemoteProtocolError, Timestamp, encode_message

NOW = datetime(2024, 6, 1, tzinfo=UTC)
simple = st.none() | st.booleans() | st.text(max_size=8) | st.binary(max_size=8) | st.integers(-(2**31), 2**31 - 1)
addresses = st.text(alphabet="/deviceboundmsagl%25#é", max_size=60) | st.builds(
    "/devices/{}/messages/devicebound".format, st.text(max_size=20)
)


def check(data: bytes) -> None:
    with suppress(HubError, RemoteProtocolError):
        targets, message = read_cloud_message(data, NOW, timedelta(hours=1))
        assert targets
        assert all(is_identity_id(target) for target in targets)
        assert message.expires_at <= NOW + LONGEST_LIFE
        assert all(isinstance(value, str) for value in (*message.system.values(), *message.properties.values()))


@given(st.binary(max_size=300))
def test_bytes(data: bytes) -> None:
    check(data)


@given(
    to=addresses,
    message_id=st.none() | st.text(max_size=8) | st.binary(max_size=8) | st.uuids(),
    expiry=st.none() | st.integers(-(2**63), 2**63 - 1).map(Timestamp),
    properties=st.dictionaries(st.text(max_size=8) | st.just("iothub-ack"), simple, max_size=4),
    body=st.binary(max_size=20).map(lambda data: Data((data,))) | simple.map(AmqpValue),
)
def test_messages(
    to: str, message_id: object, expiry: Timestamp | None, properties: dict[str, object], body: Data | AmqpValue
) -> None:
    sent = Properties(message_id=message_id, to=to, absolute_expiry_time=expiry)
    check(encode_message(Message(properties=sent, application_properties=properties, body=body)))


def test_an_expiry_in_the_past_stays_one() -> None:
    past = Timestamp.of(NOW - timedelta(days=1))
    sent = Properties(to="/devices/d/messages/devicebound", absolute_expiry_time=past)
    _, message = read_cloud_message(
        encode_message(Message(properties=sent, body=Data((b"",)))), NOW, timedelta(hours=1)
    )
    assert message.expires_at == NOW - timedelta(days=1)
