"""Messages between two engines: transfers over many frames, session windows, settlement."""

import itertools

import pytest

from homeport.proto.amqp import (
    ACCEPTED,
    RELEASED,
    Accepted,
    Delivery,
    Described,
    Detach,
    Disposed,
    Disposition,
    Error,
    Flowed,
    Limits,
    LinkRole,
    LocalProtocolError,
    Modified,
    Received,
    ReceiverSettleMode,
    Rejected,
    SenderSettleMode,
    Transfer,
    UInt,
    ULong,
)
from homeport.proto.amqp.composites import DeliveryState
from tests.proto.amqp.pair import attached, begun, deliveries, kinds, only, opened

SENDER, RECEIVER = LinkRole.SENDER, LinkRole.RECEIVER
MESSAGE = bytes(range(256)) * 40


# --- transfers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 400, 470, 480, 490, 500, 512, 1000, 100_000])
@pytest.mark.parametrize("role", LinkRole)
@pytest.mark.parametrize("step", [1 << 20, 13])
def test_messages_over_many_frames(size: int, role: LinkRole, step: int) -> None:
    both = opened(step=step, client=Limits(max_frame_size=512), server=Limits(max_frame_size=512))
    ours, theirs = attached(both, role, credit=3)
    sender, link = (both.client, ours) if role is SENDER else (both.server, theirs)
    data = (MESSAGE * 10)[:size]
    sender.send(Transfer(link=link, data=data, tag=b"tag", message_format=0x80013700))
    frames = sender._outbox._parts
    assert all(len(frame) <= 512 for frame in frames)
    heard = both.pump()[1 if role is SENDER else 0]
    event = only(heard, Delivery)
    assert (event.data, event.tag, event.message_format, event.settled) == (data, b"tag", 0x80013700, False)
    assert both.client._usage.partial_bytes == both.server._usage.partial_bytes == 0


def test_two_links_take_turns() -> None:
    """Frames of two links may alternate on a session."""
    both = opened(server=Limits(max_frame_size=512))
    sessions = begun(both)
    one, _ = attached(both, sessions=sessions, name="one", credit=1)
    other, _ = attached(both, sessions=sessions, name="other", credit=1)
    both.client.send(Transfer(link=one, data=MESSAGE))
    first = list(both.client._outbox._parts)
    both.client._outbox._parts.clear()
    both.client.send(Transfer(link=other, data=MESSAGE[::-1]))
    second = both.client._outbox._parts
    both.client._outbox._parts = [
        frame for pair in itertools.zip_longest(first, second, fillvalue=b"") for frame in pair
    ]
    _, heard = both.pump()
    assert deliveries(heard) == [MESSAGE, MESSAGE[::-1]]


@pytest.mark.parametrize("window", [2, 3, 10, 5000])
def test_session_windows(window: int) -> None:
    both = opened(server=Limits(max_frame_size=512, incoming_window=window))
    ours, _ = attached(both, credit=100)
    messages = [MESSAGE[: 97 * n] for n in range(30)]
    for message in messages:
        both.client.send(Transfer(link=ours, data=message))
    _, heard = both.pump()
    assert deliveries(heard) == messages
    assert both.client.pending_bytes == 0


def test_a_shut_window_shows() -> None:
    both = opened(server=Limits(incoming_window=4))
    ours, _ = attached(both, credit=100)
    sent = 0
    while ours.may_send:
        both.client.send(Transfer(link=ours, data=b"x"))
        sent += 1
    assert sent == 4
    assert both.client.pending_bytes == 0
    both.client.send(Transfer(link=ours, data=b"y"))
    assert both.client.pending_bytes > 0
    heard, _ = both.pump()
    assert [ours.may_send] == [True]
    assert any(isinstance(event, Flowed) and event.link is None for event in heard)


def test_pending_bytes_are_bounded() -> None:
    both = opened(server=Limits(incoming_window=2), client=Limits(max_pending_bytes=2000))
    ours, _ = attached(both, credit=100)
    while both.client.pending_bytes < 1900:
        both.client.send(Transfer(link=ours, data=bytes(100)))
    credit = ours.credit
    with pytest.raises(LocalProtocolError):
        both.client.send(Transfer(link=ours, data=bytes(100)))
    assert ours.credit == credit
    assert both.client.pending_bytes <= 2000
    assert len(both.client._sessions._channels[ours.session]._outgoing.unsettled) == 100 - credit


def test_detach_forgets_what_waits() -> None:
    both = opened(server=Limits(incoming_window=2))
    ours, _ = attached(both, credit=100)
    for _ in range(5):
        both.client.send(Transfer(link=ours, data=b"x"))
    both.client.send(Detach(link=ours))
    assert both.client.pending_bytes == 0
    _, heard = both.pump()
    assert kinds(heard) == ["Delivery", "Delivery", "Detached"]


def test_settled_transfers_leave_nothing_behind() -> None:
    both = opened()
    ours, theirs = attached(both, credit=5)
    both.client.send(Transfer(link=ours, data=b"x", settled=True))
    _, heard = both.pump()
    event = only(heard, Delivery)
    assert event.settled
    both.server.send(Disposition(link=theirs, delivery_id=event.delivery_id, state=ACCEPTED))
    assert both.server.outgoing() == b""


def test_settle_modes_bind_the_sender() -> None:
    for mode, settled in ((SenderSettleMode.SETTLED, False), (SenderSettleMode.UNSETTLED, True)):
        both = opened()
        ours, _ = attached(both, credit=5, snd_settle_mode=mode)
        with pytest.raises(LocalProtocolError):
            both.client.send(Transfer(link=ours, data=b"x", settled=settled))
        both.client.send(Transfer(link=ours, data=b"x", settled=not settled))


def test_what_a_transfer_may_not_be() -> None:
    both = opened(server=Limits(max_message_size=1000))
    ours, theirs = attached(both, credit=5)
    for transfer in (
        Transfer(link=ours, data=b"x", tag=bytes(33)),
        Transfer(link=ours, data=bytes(1001)),
        Transfer(link=ours, data=b"x", state=object()),  # type: ignore[arg-type]
        Transfer(link=ours, data=b"x", message_format=-1),
    ):
        with pytest.raises(LocalProtocolError):
            both.client.send(transfer)
    with pytest.raises(LocalProtocolError):
        both.server.send(Transfer(link=theirs, data=b"x"))
    assert both.client.outgoing() == b""
    assert ours.credit == 5


# --- settlement -------------------------------------------------------------------------------------------------------

STATES: list[DeliveryState] = [
    ACCEPTED,
    RELEASED,
    Rejected(),
    Rejected(error=Error(condition="a:b", description='{"errorCode":429001}', info={"retry-after": UInt(5)})),
    Modified(delivery_failed=True, undeliverable_here=True, message_annotations={"x-opt-a": 1}),
    Received(section_number=1, section_offset=2),
    Described(ULong(0x34), [b"tx", None]),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: type(state).__name__)
def test_outcomes(state: DeliveryState) -> None:
    both = opened()
    ours, theirs = attached(both, credit=5)
    both.client.send(Transfer(link=ours, data=b"x", tag=b"t"))
    _, heard = both.pump()
    both.server.send(Disposition(link=theirs, delivery_id=only(heard, Delivery).delivery_id, state=state))
    heard, _ = both.pump()
    assert heard == [Disposed(link=ours, delivery_id=0, tag=b"t", state=state, settled=True)]


def test_second_settle_mode() -> None:
    """The receiver tells its outcome, the sender settles, and only then both forget."""
    both = opened()
    ours, theirs = attached(both, credit=5, rcv_settle_mode=ReceiverSettleMode.SECOND)
    both.client.send(Transfer(link=ours, data=b"x"))
    both.pump()
    both.server.send(Disposition(link=theirs, delivery_id=0, state=ACCEPTED, settled=False))
    heard, _ = both.pump()
    event = only(heard, Disposed)
    assert (event.state, event.settled) == (ACCEPTED, False)
    both.client.send(Disposition(link=ours, delivery_id=0, state=ACCEPTED))
    _, heard = both.pump()
    event = only(heard, Disposed)
    assert (event.link, event.settled) == (theirs, True)
    for engine, link in ((both.client, ours), (both.server, theirs)):
        engine.send(Disposition(link=link, delivery_id=0, state=ACCEPTED))
        assert engine.outgoing() == b""


def test_neighbouring_dispositions_share_a_frame() -> None:
    both = opened()
    ours, theirs = attached(both, credit=50)
    for _ in range(20):
        both.client.send(Transfer(link=ours, data=b"x"))
    both.pump()
    for delivery_id in range(20):
        state = Rejected() if delivery_id == 10 else Accepted()
        both.server.send(Disposition(link=theirs, delivery_id=delivery_id, state=state))
    data = both.server.outgoing()
    assert data.count(b"\x00\x53\x15") == 3
    heard = both.client.receive(data)
    assert [event.delivery_id for event in heard if isinstance(event, Disposed)] == list(range(20))


def test_dispositions_keep_their_place() -> None:
    """What is settled before a reply is written before it (contract hub.md 15.2)."""
    both = opened()
    sessions = begun(both)
    ours, theirs = attached(both, sessions=sessions, name="requests", credit=5)
    replies, their_replies = attached(both, RECEIVER, sessions=sessions, name="replies", credit=5)
    both.client.send(Transfer(link=ours, data=b"request"))
    both.pump()
    both.server.send(Disposition(link=theirs, delivery_id=0, state=ACCEPTED))
    both.server.send(Transfer(link=their_replies, data=b"reply"))
    heard, _ = both.pump()
    assert kinds(heard) == ["Disposed", "Delivery"]
    assert only(heard, Delivery).link is replies


def test_ranges_touch_their_own_link_only() -> None:
    both = opened()
    sessions = begun(both)
    one, their_one = attached(both, sessions=sessions, name="one", credit=10)
    other, _ = attached(both, sessions=sessions, name="other", credit=10)
    for number in range(6):
        both.client.send(Transfer(link=(one, other)[number % 2], data=b"x"))
    both.pump()
    both.server.send(Disposition(link=their_one, delivery_id=0, last=5, state=ACCEPTED))
    heard, _ = both.pump()
    assert [event.delivery_id for event in heard if isinstance(event, Disposed)] == [0, 2, 4]


def test_unsettled_deliveries_are_bounded() -> None:
    both = opened(client=Limits(max_unsettled=3))
    ours, _ = attached(both, credit=10)
    for _ in range(3):
        both.client.send(Transfer(link=ours, data=b"x"))
    with pytest.raises(LocalProtocolError):
        both.client.send(Transfer(link=ours, data=b"x"))
    both.client.send(Transfer(link=ours, data=b"x", settled=True))


def test_ids_wrap_around() -> None:
    both = opened(server=Limits(incoming_window=4))
    ours, theirs = attached(both, credit=10)
    outgoing = both.client._sessions._channels[ours.session]._outgoing
    outgoing._next_delivery_id = 0xFFFF_FFFE
    for _ in range(4):
        both.client.send(Transfer(link=ours, data=b"x"))
    _, heard = both.pump()
    assert [event.delivery_id for event in heard if isinstance(event, Delivery)] == [0xFFFF_FFFE, 0xFFFF_FFFF, 0, 1]
    both.server.send(Disposition(link=theirs, delivery_id=0xFFFF_FFFE, last=1, state=ACCEPTED))
    assert len(both.server.outgoing()) < 50
