"""Sessions and links between two engines: attaching, credit, endings."""

import pytest

from homeport.proto.amqp import (
    ACCEPTED,
    Attach,
    Attached,
    Begin,
    Condition,
    Described,
    Detach,
    Detached,
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
    ReceiverSettleMode,
    SenderSettleMode,
    Source,
    Symbol,
    Target,
    Transfer,
    UInt,
    ULong,
)
from tests.proto.amqp.pair import attached, begun, deliveries, kinds, only, opened

SENDER, RECEIVER = LinkRole.SENDER, LinkRole.RECEIVER


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
