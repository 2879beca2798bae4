"""What other clients put on the wire: frame by frame, byte by byte, with more behind it, and damaged."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from homeport.proto.amqp import Event, RemoteProtocolError, State
from tests.interop.amqp.loop import Broker
from tests.proto.amqp.pair import kinds
from tests.proto.amqp.vectors import CONVERSATIONS, Recording

FRAMES = 0


def pieces(data: bytes, step: int) -> Iterator[bytes]:
    """Cut every `step` bytes, or after each header and frame."""
    at = 0
    while at < len(data):
        size = step or (8 if data.startswith(b"AMQP", at) else max(8, int.from_bytes(data[at : at + 4])))
        yield data[at : at + size]
        at += size


def listen(recording: Recording, step: int = FRAMES, rest: bytes = b"") -> tuple[Broker, list[Event]]:
    broker = Broker(sasl=recording.sasl, feed=[3, 300])
    heard: list[Event] = []
    for piece in pieces(recording.data + rest, step):
        events = broker.engine.receive(piece)
        while True:
            for event in events:
                heard.append(event)
                broker.handle(event)
            if not broker.engine.held:
                break
            events = broker.engine.receive(b"")
        broker.engine.tick(0)
    return broker, heard


@pytest.mark.parametrize("recording", CONVERSATIONS, ids=str)
@pytest.mark.parametrize("step", [FRAMES, 1, 7])
def test_recorded(recording: Recording, step: int) -> None:
    broker, heard = listen(recording, step)
    assert kinds(heard) == recording.events
    assert broker.engine.state is State.CLOSED
    assert broker.engine.outgoing()
    if "sends" in recording.name:
        assert [len(message.data or b"") for message in broker.messages] == [3, 300]


@pytest.mark.parametrize("recording", CONVERSATIONS, ids=str)
def test_what_comes_after_close_is_ignored(recording: Recording) -> None:
    _, heard = listen(recording, 1, rest=b"\xff" * 100)
    assert kinds(heard) == recording.events


@pytest.mark.parametrize("recording", CONVERSATIONS, ids=str)
def test_cut_short(recording: Recording) -> None:
    """Any beginning is a beginning: nothing is refused before it is wrong."""
    whole = kinds(listen(recording)[1])
    for end in range(0, len(recording.data), 11):
        broker, heard = listen(Recording(recording.name, recording.sasl, recording.data[:end], []))
        assert kinds(heard) == whole[: len(heard)]
        assert broker.fault is None


@pytest.mark.parametrize("recording", CONVERSATIONS, ids=str)
def test_one_byte_lost(recording: Recording) -> None:
    """The rest is understood as something else or refused, and nothing worse."""
    for at in range(0, len(recording.data), 5):
        damaged = recording.data[:at] + recording.data[at + 1 :]
        with suppress(RemoteProtocolError):
            listen(Recording(recording.name, recording.sasl, damaged, []))
