"""Two engines that talk with each other."""

from dataclasses import dataclass, field
from typing import Any

from homeport.proto.amqp import (
    Attach,
    Attached,
    Begin,
    Begun,
    Connection,
    Delivery,
    Event,
    Flow,
    Limits,
    Link,
    LinkRole,
    Open,
    Role,
    Session,
    Source,
    Target,
)


@dataclass
class Pair:
    """A client and a server. `pump` moves bytes, in pieces of `step`, until both are silent."""

    client: Connection
    server: Connection
    step: int = 1 << 20
    heard_by_client: list[Event] = field(default_factory=list)
    heard_by_server: list[Event] = field(default_factory=list)

    def pump(self) -> tuple[list[Event], list[Event]]:
        """Return what the client and the server have heard."""
        self.heard_by_client, self.heard_by_server = [], []
        while self.carry(self.client, self.server, self.heard_by_server) | self.carry(
            self.server, self.client, self.heard_by_client
        ):
            pass
        return self.heard_by_client, self.heard_by_server

    def carry(self, speaker: Connection, hearer: Connection, heard: list[Event]) -> bool:
        data = speaker.outgoing()
        for start in range(0, len(data), self.step):
            heard += hearer.receive(data[start : start + self.step])
        moved = bool(data)
        while hearer.held:
            heard += hearer.receive(b"")
            moved = True
        return moved


def pair(*, step: int = 1 << 20, client: Limits | None = None, server: Limits | None = None, **more: Any) -> Pair:
    """Engines that have not said anything; `more` is the server's."""
    return Pair(
        Connection(Role.CLIENT, container_id="client", limits=client or Limits()),
        Connection(Role.SERVER, container_id="server", limits=server or Limits(), **more),
        step,
    )


def opened(**options: Any) -> Pair:
    """Engines that have exchanged OPEN."""
    both = pair(**options)
    both.client.send(Open(hostname="localhost"))
    both.pump()
    both.server.send(Open())
    both.pump()
    return both


def begun(both: Pair) -> tuple[Session, Session]:
    """Begin a session; return its handles, the client's first."""
    ours = both.client.new_session()
    both.client.send(Begin(session=ours))
    _, heard = both.pump()
    theirs = only(heard, Begun).session
    both.server.send(Begin(session=theirs))
    both.pump()
    return ours, theirs


def attached(
    both: Pair,
    role: LinkRole = LinkRole.SENDER,
    *,
    sessions: tuple[Session, Session] | None = None,
    name: str = "link",
    credit: int = 0,
    **options: Any,
) -> tuple[Link, Link]:
    """Attach a link in which the client plays `role`; the receiver gives `credit`. The client's handle comes first."""
    session, _ = sessions or begun(both)
    ours = both.client.new_link(session, name, role)
    both.client.send(Attach(link=ours, source=Source(address="from"), target=Target(address="to"), **options))
    _, heard = both.pump()
    event = only(heard, Attached)
    both.server.send(Attach(link=event.link, source=event.source, target=event.target, **options))
    if credit:
        receiver, link = (both.server, event.link) if role is LinkRole.SENDER else (both.client, ours)
        receiver.send(Flow(link=link, credit=credit))
    both.pump()
    return ours, event.link


def only(events: list[Event], kind: type[Any]) -> Any:
    """Return the one event of this kind."""
    (event,) = [event for event in events if isinstance(event, kind)]
    return event


def deliveries(events: list[Event]) -> list[bytes]:
    return [event.data for event in events if isinstance(event, Delivery)]


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]
