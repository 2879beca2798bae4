"""The links of one session: names, handles, ATTACH and DETACH from either side (2.6)."""

from typing import Any

from homeport.proto import LocalProtocolError
from homeport.proto.amqp import events as e
from homeport.proto.amqp import performatives as p
from homeport.proto.amqp.composites import ReceiverSettleMode, SenderSettleMode
from homeport.proto.amqp.errors import AmqpProtocolError, Condition, Scope
from homeport.proto.amqp.frames import Outbox
from homeport.proto.amqp.incoming import Incoming, LinkFault
from homeport.proto.amqp.limits import Limits, Usage
from homeport.proto.amqp.link import Link
from homeport.proto.amqp.numbers import Numbers
from homeport.proto.amqp.outgoing import Outgoing
from homeport.proto.amqp.session import Session
from homeport.proto.amqp.settlement import MASK
from homeport.proto.amqp.state import LinkRole, Standing, Word, heard, moved


class Links:
    """All links of a session that are not over. `number` is our channel."""

    def __init__(
        self,
        session: Session,
        number: int,
        outbox: Outbox,
        halves: tuple[Incoming, Outgoing],
        limits: Limits,
        usage: Usage,
    ) -> None:
        self._session = session
        self._number = number
        self._outbox = outbox
        self._incoming, self._outgoing = halves
        self._limits = limits
        self._usage = usage
        self._handles = Numbers("links in this session")
        self._links: dict[tuple[str, LinkRole], Link] = {}
        self._by_peer_handle: dict[int, Link] = {}
        self.peer_handle_max = MASK

    def at(self, handle: int) -> Link:
        link = self._by_peer_handle.get(handle)
        if link is None:
            raise AmqpProtocolError("no link is attached to this handle", Condition.UNATTACHED_HANDLE, Scope.SESSION)
        return link

    # --- listening ----------------------------------------------------------------------------------------------

    def hear_attach(self, values: list[Any], events: list[e.Event]) -> None:
        name, handle, by_receiver, snd, rcv, source, target, _, _, count, size, offered, desired, properties = values
        role = LinkRole.SENDER if by_receiver else LinkRole.RECEIVER
        if handle > self._limits.handle_max:
            raise AmqpProtocolError("a handle is above the highest that we allow", Condition.FRAMING_ERROR)
        if handle in self._by_peer_handle:
            raise AmqpProtocolError("a handle is attached twice", Condition.HANDLE_IN_USE, Scope.SESSION)
        if snd > max(SenderSettleMode) or rcv > max(ReceiverSettleMode) or (not by_receiver and count is None):
            raise AmqpProtocolError("an attach has an invalid field", Condition.INVALID_FIELD, Scope.SESSION)
        link = self._links.get((name, role))
        if link is None:
            link = Link(self._session, name, role, ours=False)
            link.snd_settle_mode, link.rcv_settle_mode = SenderSettleMode(snd), ReceiverSettleMode(rcv)
            self._links[name, role] = link
            self._usage.links += 1
        elif link.peer_handle is not None:
            raise AmqpProtocolError("a link is attached twice", Condition.NOT_ALLOWED, Scope.SESSION)
        link.standing = heard(link.standing, Word.PEER_BEGINS)
        link.peer_handle = handle
        link.peer_max_message_size = size
        self._by_peer_handle[handle] = link
        if role is LinkRole.RECEIVER:
            link.delivery_count = count
        if link.standing is Standing.ENDING:
            return
        if link.standing is Standing.INVITED:
            self._check_handles()
            self._check_count(link)
        events.append(
            e.Attached(
                link=link,
                source=source,
                target=target,
                snd_settle_mode=SenderSettleMode(snd),
                rcv_settle_mode=ReceiverSettleMode(rcv),
                initial_delivery_count=count,
                max_message_size=size,
                offered_capabilities=offered,
                desired_capabilities=desired,
                properties=properties,
            )
        )

    def _check_handles(self) -> None:
        """End the session if the peer leaves us no handle for an answer: links of ours may have been quicker."""
        try:
            self._handles.peek(self.peer_handle_max)
        except LocalProtocolError as inability:
            raise AmqpProtocolError(str(inability), Condition.RESOURCE_LIMIT_EXCEEDED, Scope.SESSION) from None

    def _check_count(self, link: Link) -> None:
        if self._usage.links > 2 * self._limits.max_links:
            # Those that we have refused count until the peer detaches them, too.
            raise AmqpProtocolError("far too many links", Condition.RESOURCE_LIMIT_EXCEEDED)
        if self._usage.links > self._limits.max_links:
            raise LinkFault(link, "too many links", Condition.RESOURCE_LIMIT_EXCEEDED)

    def hear_detach(self, values: list[Any], events: list[e.Event]) -> None:
        handle, closed, error = values
        link = self.at(handle)
        if link.standing is Standing.INVITED:
            self._attach(e.Attach(link=link))
        if link.standing is not Standing.ENDING:
            self._outbox.say(self._number, p.DETACH, link.handle, closed is True, None)
            self._forget(link)
        link.standing = heard(link.standing, Word.PEER_ENDS)
        self._remove(link)
        if not link.faulty:
            events.append(e.Detached(link=link, error=error, closed=closed is True))

    # --- speaking -----------------------------------------------------------------------------------------------

    def attach(self, command: e.Attach) -> None:
        """Say ATTACH."""
        link = command.link
        if link.standing is Standing.NEW and (link.name, link.role) in self._links:
            raise LocalProtocolError("the session has a link of this name already")
        self._attach(command)

    def _attach(self, command: e.Attach) -> None:
        link = command.link
        standing = moved(link.standing, Word.WE_BEGIN, "the link")
        handle = self._handles.peek(self.peer_handle_max)
        sends = link.role is LinkRole.SENDER
        size = command.max_message_size
        if not sends:
            size = min(size or self._limits.max_message_size, self._limits.max_message_size)
        self._outbox.say(
            self._number,
            p.ATTACH,
            link.name,
            handle,
            not sends,
            command.snd_settle_mode,
            command.rcv_settle_mode,
            command.source,
            command.target,
            None,
            False,
            command.initial_delivery_count if sends else None,
            size or None,
            command.offered_capabilities,
            command.desired_capabilities,
            command.properties,
        )
        link.handle = self._handles.take()
        link.snd_settle_mode = command.snd_settle_mode
        link.rcv_settle_mode = command.rcv_settle_mode
        if sends:
            link.delivery_count = link.initial_delivery_count = command.initial_delivery_count
        link.max_message_size = size
        if link.standing is Standing.NEW:
            self._links[link.name, link.role] = link
            self._usage.links += 1
        link.standing = standing

    def detach(self, command: e.Detach) -> None:
        """Say DETACH, after an ATTACH without termini if we owe that."""
        link = command.link
        if link.standing not in {Standing.ASKED, Standing.INVITED, Standing.OPEN}:
            raise LocalProtocolError("the link is not attached")
        handle = self._handles.peek(self.peer_handle_max) if link.handle is None else link.handle
        frame = self._outbox.frame(self._number, p.DETACH, (handle, command.closed, command.error))
        if link.standing is Standing.INVITED:
            self._attach(e.Attach(link=link))
        self._outbox.put(frame)
        link.standing = moved(link.standing, Word.WE_END, "the link")
        self._forget(link)

    # --- endings ------------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        """Let all links go with their session."""
        self._incoming.abandon()
        self._outgoing.abandon()
        for link in list(self._links.values()):
            self._forget(link)
            self._remove(link)

    def _forget(self, link: Link) -> None:
        self._incoming.forget(link)
        self._outgoing.forget(link)
        link.credit = 0

    def _remove(self, link: Link) -> None:
        """Free the name and the numbers of a link that both sides have ended, or that went with its session."""
        link.standing = Standing.OVER
        del self._links[link.name, link.role]
        self._usage.links -= 1
        if link.handle is not None:
            self._handles.give(link.handle)
        if link.peer_handle is not None:
            del self._by_peer_handle[link.peer_handle]
