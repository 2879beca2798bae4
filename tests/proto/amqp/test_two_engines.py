"""Whatever two applications do in whatever order, their engines never accuse each other, and nothing is lost."""

from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from homeport.proto.amqp import (
    ACCEPTED,
    RELEASED,
    Attach,
    Attached,
    Begin,
    Begun,
    Connection,
    Delivery,
    Detach,
    Detached,
    Disposed,
    Disposition,
    Drained,
    End,
    Ended,
    Event,
    Flow,
    Flowed,
    Limits,
    Link,
    LinkRole,
    LocalProtocolError,
    Open,
    Opened,
    Role,
    Session,
    Source,
    State,
    Target,
    Transfer,
)

LIMITS = Limits(max_frame_size=600, incoming_window=5, max_message_size=5000, max_pending_bytes=20_000)


@dataclass
class Side:
    """One application: it answers at once what must be answered, and does the rest when it is told to."""

    engine: Connection
    sessions: list[Session] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    unsettled: list[tuple[Link, int]] = field(default_factory=list)
    sent: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    received: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    cut: set[str] = field(default_factory=set)
    """Links that somebody has ended, by name."""
    number: int = 0

    def hear(self, data: bytes) -> None:
        events = self.engine.receive(data)
        while events or self.engine.held:
            for event in events:
                self.answer(event)
            events = self.engine.receive(b"") if self.engine.held else []

    def answer(self, event: Event) -> None:
        send = self.engine.send
        match event:
            case Opened() if self.engine.state is not State.OPEN:
                send(Open())
            case Begun() if not event.session.ours:
                send(Begin(session=event.session))
                self.sessions.append(event.session)
            case Attached() if not event.link.ours:
                send(Attach(link=event.link, source=event.source, target=event.target))
                self.links.append(event.link)
            case Delivery():
                self.received[event.link.name].append(event.data)
                if not event.settled:
                    self.unsettled.append((event.link, event.delivery_id))
            case Disposed() if not event.settled:
                send(Disposition(link=event.link, delivery_id=event.delivery_id, state=event.state))
            case Flowed() if event.drain and event.link is not None and event.link.role is LinkRole.SENDER:
                send(Drained(link=event.link))
            case Detached():
                assert not event.fault, event.error
                self.cut.add(event.link.name)
            case Ended():
                assert not event.fault, event.error
                self.cut |= {link.name for link in self.links if link.session is event.session}
            case _:
                pass

    def act(self, what: str, choice: int) -> None:
        send, link = self.engine.send, self.links[choice % len(self.links)] if self.links else None
        session = self.sessions[choice % len(self.sessions)] if self.sessions else None
        match what:
            case "begin":
                session = self.engine.new_session()
                send(Begin(session=session))
                self.sessions.append(session)
            case "attach" if session is not None:
                self.number += 1
                name = f"{self.engine._container_id} {self.number}"
                made = self.engine.new_link(session, name, list(LinkRole)[choice % 2])
                send(Attach(link=made, source=Source(address="a"), target=Target(address="b")))
                self.links.append(made)
            case "flow" | "drain" if link is not None and link.role is LinkRole.RECEIVER:
                send(Flow(link=link, credit=choice % 7, drain=what == "drain", echo=choice % 3 == 0))
            case "transfer" if link is not None:
                data = bytes([choice % 256]) * (choice * 37 % 3000)
                send(Transfer(link=link, data=data, settled=choice % 5 == 0))
                self.sent[link.name].append(data)
            case "settle" if self.unsettled:
                owner, delivery_id = self.unsettled.pop(choice % len(self.unsettled))
                send(
                    Disposition(
                        link=owner,
                        delivery_id=delivery_id,
                        state=(ACCEPTED, RELEASED)[choice % 2],
                        settled=choice % 3 > 0,
                    )
                )
            case "detach" if link is not None:
                send(Detach(link=link))
                self.cut.add(link.name)
            case "end" if session is not None:
                send(End(session=session))
                self.cut |= {link.name for link in self.links if link.session is session}


def carry(speaker: Side, hearer: Side, step: int) -> bool:
    data = speaker.engine.outgoing()
    for start in range(0, len(data), step):
        hearer.hear(data[start : start + step])
    return bool(data)


ACTS = ["attach", "flow", "flow", "flow", "transfer", "transfer", "transfer", "settle", "drain"]
_acts = st.sampled_from([*ACTS, "begin", "detach", "end"])
_steps = st.lists(st.tuples(st.booleans(), st.just("carry") | _acts | _acts | _acts, st.integers(0, 1000)), max_size=80)
_BUSY = [(False, "attach", 0), (True, "carry", 0), (False, "carry", 0), (True, "flow", 6), (True, "carry", 0)]


# Credit that is lowered while transfers are on their way; a flow of the sender whose transfers wait for the window.
_LOWERED = [*_BUSY, *[(False, "transfer", 81)] * 3, (True, "flow", 7), (False, "carry", 0)]
_WAITING = [*_BUSY, *[(False, "transfer", 81)] * 6, (True, "flow", 6), (True, "carry", 0), (False, "carry", 0)]


@given(steps=_steps | _steps.map(lambda steps: [*_BUSY, *steps]), step=st.sampled_from([1, 50, 1 << 20]))
@settings(max_examples=150, deadline=None)
@example(steps=[*_BUSY, *[(False, "transfer", 81)] * 6, (False, "detach", 0), (True, "flow", 5)], step=1 << 20)
@example(steps=[*_BUSY, *[(False, "transfer", 81)] * 4, (True, "drain", 6), (True, "end", 0)], step=1)
@example(steps=_LOWERED, step=50)
@example(steps=_WAITING, step=50)
def test_whatever_they_do(steps: list[tuple[bool, str, int]], step: int) -> None:
    sides = [
        Side(Connection(Role.CLIENT, container_id="client", limits=LIMITS)),
        Side(Connection(Role.SERVER, container_id="server", limits=LIMITS)),
    ]
    client, server = sides
    client.engine.send(Open())
    client.act("begin", 0)
    for server_acts, what, choice in steps:
        one, other = (server, client) if server_acts else (client, server)
        if what == "carry":
            carry(one, other, step)
            continue
        try:
            one.act(what, choice)
        except LocalProtocolError:
            # Not now: before OPEN, without credit, above the peer's limits …
            assert what in {"begin", "attach", "flow", "drain", "transfer", "detach", "end"}
    for _ in range(500):
        if not carry(client, server, step) | carry(server, client, step):
            break
    else:
        raise AssertionError("they never stop talking")

    assert client.engine.state is server.engine.state is State.OPEN
    for one, other in ((client, server), (server, client)):
        assert one.engine.pending_bytes == 0
        assert one.engine._usage.partial_bytes == 0
        for name, sent in one.sent.items():
            received = other.received[name]
            assert received == sent[: len(received)]
            if name not in client.cut | server.cut:
                assert received == sent
        assert one.engine._usage.links == sum(len(c.links._links) for c in one.engine._sessions._channels.values())
