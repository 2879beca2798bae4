"""Sessions and links between two engines: credit, transfers over many frames, windows, settlement, endings."""

import itertools

import pytest

from homeport.proto.amqp import (
    ACCEPTED,
    RELEASED,
    Accepted,
    Attach,
    Attached,
    Begin,
    Condition,
    Delivery,
    Described,
    Detach,
    Detached,
    Disposed,
    Disposition,
    Drained,
    End,
    Ended,
    Error,
    Flow,
    Flowed,
    Limits,
    LinkRole,
    LocalProtocolError,
    Modified,
    Received,
    ReceiverSettleMode,
    Rejected,
    SenderSettleMode,
    Source,
    Symbol,
    Target,
    Transfer,
    UInt,
    ULong,
)
from homeport.proto.amqp.composites import DeliveryState
from tests.proto.amqp.pair import attached, begun, deliveries, kinds, only, opened

SENDER, RECEIVER = LinkRole.SENDER, LinkRole.RECEIVER
MESSAGE = bytes(range(256)) * 40


# --- attaching --------------------------------------------------------------------------------------------------------


def test_attach_says_everything() -> None:
    both = opened()
    session, _ = begun(both)
    link = both.client.new_link(session, "name", RECEIVER)
    selector = Described(Symbol("apache.org:selector-filter:string"), "amqp.annotation.x-opt-offset > '-1'")
    attach = Attach(
        link=link,
        source=Source(
            address="eh/ConsumerGroups/$Default/Partitions/0",
            filter={Symbol("apache.org:selector-filter:string"): selector},
            default_outcome=Modified(delivery_failed=True),
            outcomes=(Symbol("amqp:accepted:list"),),
            dynamic_node_properties={Symbol("a"): UInt(1)},
        ),
        target=Target(address=None, capabilities=(Symbol("topic"),)),
        snd_settle_mode=SenderSettleMode.SETTLED,
        rcv_settle_mode=ReceiverSettleMode.SECOND,
        desired_capabilities=(Symbol("com.microsoft:enable-receiver-runtime-metric"),),
        properties={Symbol("com.microsoft:epoch"): 7},
    )
    both.client.send(attach)
    _, heard = both.pump()
    event = only(heard, Attached)
    for name in ("source", "target", "snd_settle_mode", "rcv_settle_mode", "desired_capabilities", "properties"):
        assert getattr(event, name) == getattr(attach, name), name
    assert (event.link.name, event.link.role, event.link.ours) == ("name", SENDER, False)
    assert type(event.properties[Symbol("com.microsoft:epoch")]) is int
    both.server.send(Attach(link=event.link, source=event.source, target=event.target, max_message_size=65536))
    heard, _ = both.pump()
    answer = only(heard, Attached)
    assert answer.link is link
    assert (answer.source, answer.initial_delivery_count, answer.max_message_size) == (attach.source, 0, 65536)
    assert link.open
    assert event.link.open


def test_a_transaction_coordinator_is_let_pass() -> None:
    both = opened()
    session, _ = begun(both)
    link = both.client.new_link(session, "tx", SENDER)
    coordinator = Described(ULong(0x30), [None])
    both.client.send(Attach(link=link, target=coordinator))
    _, heard = both.pump()
    assert only(heard, Attached).target == coordinator


def test_one_name_in_both_directions() -> None:
    both = opened()
    sessions = begun(both)
    one, _ = attached(both, SENDER, sessions=sessions, name="cbs")
    other, _ = attached(both, RECEIVER, sessions=sessions, name="cbs")
    assert one is not other
    with pytest.raises(LocalProtocolError):
        both.client.send(Attach(link=both.client.new_link(sessions[0], "cbs", SENDER)))


def test_names_are_the_sessions_own() -> None:
    both = opened()
    for _ in range(3):
        ours, theirs = attached(both, name="TelemetrySenderLink")
        assert ours.open
        assert theirs.open


def test_refused() -> None:
    """ATTACH without termini, then DETACH with the error (contract hub.md 14.4)."""
    both = opened()
    session, _ = begun(both)
    link = both.client.new_link(session, "link", RECEIVER)
    both.client.send(Attach(link=link, source=Source(address="messages/events/$management"), target=Target()))
    _, heard = both.pump()
    error = Error(
        condition=Condition.LINK_REDIRECT,
        description="it has moved",
        info={"hostname": "ns", "port": UInt(5671), "address": "amqps://ns:5671/eh/$management"},
    )
    both.server.send(Detach(link=only(heard, Attached).link, error=error))
    heard, told = both.pump()
    answer = only(heard, Attached)
    assert answer.source is answer.target is None
    assert only(heard, Detached).error == error
    assert kinds(told) == ["Detached"]
    assert not link.open


def test_refused_after_the_attach_was_answered() -> None:
    both = opened()
    ours, theirs = attached(both, RECEIVER)
    both.server.send(Detach(link=theirs, error=Error(condition=Condition.STOLEN)))
    heard, _ = both.pump()
    assert only(heard, Detached).error == Error(condition="amqp:link:stolen")
    assert not ours.open


def test_handles_and_channels_are_used_again() -> None:
    both = opened(server=Limits(handle_max=1, channel_max=1), client=Limits(handle_max=1, channel_max=1))
    for _ in range(5):
        sessions = begun(both)
        for _ in range(5):
            ours, _ = attached(both, sessions=sessions)
            both.client.send(Detach(link=ours))
            both.pump()
        both.client.send(End(session=sessions[0]))
        both.pump()
    assert both.server._usage.links == both.client._usage.links == 0


def test_the_peers_highest_handle_and_channel() -> None:
    both = opened(server=Limits(handle_max=1, channel_max=1))
    sessions = begun(both)
    attached(both, sessions=sessions, name="a")
    attached(both, sessions=sessions, name="b")
    with pytest.raises(LocalProtocolError):
        both.client.send(Attach(link=both.client.new_link(sessions[0], "c", SENDER)))
    begun(both)
    with pytest.raises(LocalProtocolError):
        both.client.send(Begin(session=both.client.new_session()))


# --- credit -----------------------------------------------------------------------------------------------------------


def test_credit() -> None:
    both = opened()
    ours, theirs = attached(both, credit=2)
    assert (ours.credit, theirs.credit) == (2, 2)
    for _ in range(2):
        both.client.send(Transfer(link=ours, data=b"x"))
    with pytest.raises(LocalProtocolError):
        both.client.send(Transfer(link=ours, data=b"x"))
    _, heard = both.pump()
    assert deliveries(heard) == [b"x", b"x"]
    assert (ours.credit, theirs.credit) == (0, 0)
    both.server.send(Flow(link=theirs, credit=5, properties={"a": 1}))
    heard, _ = both.pump()
    event = only(heard, Flowed)
    assert (event.link, event.credit, event.drain, event.properties) == (ours, 5, False, {"a": 1})


def test_credit_counts_what_is_under_way() -> None:
    """The receiver grants while transfers are on their way: they are taken from what it grants."""
    both = opened()
    ours, theirs = attached(both, credit=10)
    for _ in range(4):
        both.client.send(Transfer(link=ours, data=b"x"))
    both.server.send(Flow(link=theirs, credit=10))
    both.client.receive(both.server.outgoing())
    assert ours.credit == 6


def test_credit_before_the_answer() -> None:
    """A client may attach and give credit in one breath."""
    both = opened()
    session, _ = begun(both)
    link = both.client.new_link(session, "link", RECEIVER)
    both.client.send(Attach(link=link, source=Source(address="a")))
    both.client.send(Flow(link=link, credit=3))
    _, heard = both.pump()
    theirs = only(heard, Attached).link
    assert kinds(heard) == ["Attached", "Flowed"]
    both.server.send(Attach(link=theirs, source=Source(address="a"), initial_delivery_count=0xFFFF_FFFF))
    assert theirs.credit == 3
    for _ in range(3):
        both.server.send(Transfer(link=theirs, data=b"x"))
    heard, _ = both.pump()
    assert len(deliveries(heard)) == 3
    assert link.credit == 0
    assert link.delivery_count == theirs.delivery_count == 2


def test_drain() -> None:
    both = opened()
    ours, theirs = attached(both, RECEIVER)
    both.client.send(Flow(link=ours, credit=10, drain=True))
    _, heard = both.pump()
    assert only(heard, Flowed).drain
    both.server.send(Transfer(link=theirs, data=b"last"))
    both.server.send(Drained(link=theirs))
    heard, _ = both.pump()
    assert kinds(heard) == ["Delivery", "Flowed"]
    event = only(heard, Flowed)
    assert (event.link, event.credit, event.drain) == (ours, 0, True)
    assert ours.delivery_count == theirs.delivery_count == 10
    both.server.send(Drained(link=theirs))
    assert both.server.outgoing() == b""


def test_drained_waits_for_what_waits_for_the_window() -> None:
    both = opened(client=Limits(incoming_window=2))
    ours, theirs = attached(both, RECEIVER)
    both.client.send(Flow(link=ours, credit=10, drain=True))
    both.pump()
    for _ in range(5):
        both.server.send(Transfer(link=theirs, data=b"x"))
    both.server.send(Drained(link=theirs))
    heard, _ = both.pump()
    assert kinds(heard) == ["Delivery"] * 5 + ["Flowed"]
    assert ours.credit == 0


def test_echo() -> None:
    both = opened()
    ours, theirs = attached(both, credit=5)
    both.server.send(Flow(link=theirs, credit=7, echo=True))
    heard, told = both.pump()
    assert kinds(heard) == kinds(told) == ["Flowed"]
    assert ours.credit == 7


def test_a_sender_tells_what_is_available() -> None:
    both = opened()
    ours, _ = attached(both, credit=5)
    both.client.send(Flow(link=ours, available=99))
    _, heard = both.pump()
    assert only(heard, Flowed).available == 99


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


# --- endings ----------------------------------------------------------------------------------------------------------


def test_detach_is_answered() -> None:
    both = opened()
    ours, theirs = attached(both, credit=5)
    both.client.send(Detach(link=ours, closed=False))
    assert not ours.open
    heard, told = both.pump()
    assert only(told, Detached).closed is False
    assert heard == [Detached(link=ours, closed=False)]
    assert not theirs.open


def test_both_detach_at_once() -> None:
    both = opened()
    ours, theirs = attached(both, credit=5)
    both.client.send(Detach(link=ours))
    both.server.send(Detach(link=theirs))
    heard, told = both.pump()
    assert kinds(heard) == kinds(told) == ["Detached"]


def test_attach_and_detach_in_one_breath() -> None:
    both = opened()
    session, _ = begun(both)
    link = both.client.new_link(session, "link", SENDER)
    both.client.send(Attach(link=link))
    both.client.send(Detach(link=link))
    heard, told = both.pump()
    assert kinds(told) == ["Attached", "Detached"]
    both.server.send(Attach(link=only(told, Attached).link))
    both.server.send(Flow(link=only(told, Attached).link, credit=1))
    assert both.server.outgoing() == b""
    assert kinds(heard) == ["Detached"]


def test_transfers_to_a_link_that_we_end_are_dropped() -> None:
    both = opened()
    ours, theirs = attached(both, credit=5)
    both.server.send(Detach(link=theirs))
    both.client.send(Transfer(link=ours, data=b"x"))
    both.server.receive(both.client.outgoing())
    heard, told = both.pump()
    assert kinds(heard) == kinds(told) == ["Detached"]
    with pytest.raises(LocalProtocolError):
        both.client.send(Transfer(link=ours, data=b"x"))
    assert both.server._sessions._by_peer_number


def test_end_is_answered() -> None:
    both = opened()
    sessions = begun(both)
    ours, theirs = attached(both, sessions=sessions, credit=5)
    both.client.send(Transfer(link=ours, data=b"x"))
    both.client.send(End(session=sessions[0], error=Error(condition="amqp:internal-error")))
    heard, told = both.pump()
    assert kinds(told) == ["Delivery", "Ended"]
    assert only(told, Ended).error == Error(condition="amqp:internal-error")
    assert heard == [Ended(session=sessions[0])]
    assert not ours.open
    assert not theirs.open
    both.server.send(Disposition(link=theirs, delivery_id=0, state=ACCEPTED))
    assert both.server.outgoing() == b""


def test_begin_and_end_in_one_breath() -> None:
    both = opened()
    session = both.client.new_session()
    both.client.send(Begin(session=session))
    both.client.send(End(session=session))
    _, told = both.pump()
    assert kinds(told) == ["Begun"]
    both.server.send(Begin(session=told[0].session))  # type: ignore[union-attr]
    heard, told = both.pump()
    assert kinds(heard) == kinds(told) == ["Ended"]


def test_a_session_is_refused_by_ending_it() -> None:
    both = opened()
    session = both.client.new_session()
    both.client.send(Begin(session=session))
    _, told = both.pump()
    both.server.send(End(session=told[0].session, error=Error(condition="x:y")))  # type: ignore[union-attr]
    heard, _ = both.pump()
    assert kinds(heard) == ["Begun", "Ended"]
    begun(both)


def test_the_server_may_begin_too() -> None:
    both = opened()
    session = both.server.new_session()
    both.server.send(Begin(session=session))
    link = both.server.new_link(session, "push", SENDER)
    both.server.send(Attach(link=link, source=Source(address="a"), target=Target(address="b")))
    heard, _ = both.pump()
    both.client.send(Begin(session=heard[0].session))  # type: ignore[union-attr]
    heard, _ = both.pump()
    event = only(heard, Attached)
    assert event.link.role is RECEIVER
    both.client.send(Attach(link=event.link, source=event.source, target=event.target))
    both.client.send(Flow(link=event.link, credit=1))
    both.pump()
    both.server.send(Transfer(link=link, data=b"pushed"))
    heard, _ = both.pump()
    assert deliveries(heard) == [b"pushed"]


def test_commands_about_others_sessions_and_links() -> None:
    both = opened()
    session = both.client.new_session()
    link = both.client.new_link(session, "link", SENDER)
    for command in (Attach(link=link), Flow(link=link), Detach(link=link), End(session=session)):
        with pytest.raises(LocalProtocolError):
            both.client.send(command)
    both.client.send(Begin(session=session))
    for another in (Flow(link=link), Detach(link=link), Begin(session=session)):
        with pytest.raises(LocalProtocolError):
            both.client.send(another)
