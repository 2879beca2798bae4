"""What an AMQP link has delivered under a lock, until its client has said what becomes of it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from homeport.hub.errors import HubError
from homeport.hub.frontends.amqp.errors import link_error
from homeport.hub.message_lock import Settlement
from homeport.net.amqp_handlers import AmqpSender
from homeport.proto.amqp import ACCEPTED, Accepted, DeliveryState, Message, Rejected, SenderSettleMode

Settle = Callable[[str, Settlement], Awaitable[None]]
"""Ends the lock of this token. Raises HubError when it was over before."""


class UnsettledDeliveries:
    """The deliveries of one link, by the tokens of their locks. Closing the link settles or gives back what is left."""

    def __init__(
        self,
        link: AmqpSender,
        settle: Settle,
        *,
        run: Callable[[Coroutine[Any, Any, None]], None],
        settled: Callable[[], None],
        lost: Callable[[HubError], None],
    ) -> None:
        """`run` lets work go on beside the connection; `settled` hears of room, `lost` of locks that were over."""
        self._link = link
        self._settle_lock = settle
        self._run = run
        self._settled = settled
        self._lost = lost
        self._held: dict[str, Awaitable[DeliveryState | None] | None] = {}
        """With what their outcome comes by, once they are sent."""
        self._closed = False

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, token: str) -> None:
        """Take note of what is about to be sent."""
        self._held[token] = None

    def send(self, token: str, tag: bytes, message: Message | bytes) -> None:
        """Send it, and settle it as the client says. Raises ValueError for what the client cannot take."""
        sent = self._link.send(message, tag=tag, deferred=True)
        self._held[token] = sent
        self._run(self._finish(token, tag, sent))

    async def settle(self, token: str, settlement: Settlement) -> HubError | None:
        """Settle it; return why that came too late, if it did."""
        late: HubError | None = None
        try:
            await self._settle_lock(token, settlement)
        except HubError as error:
            self._lost(error)
            late = error
        self._held.pop(token, None)  # not when it was interrupted: `close` sees to it then
        return late

    async def close(self) -> None:
        """Settle what has an outcome, and give back the rest; may be called again after it was interrupted."""
        self._closed = True
        for token, sent in tuple(self._held.items()):
            told = sent.result() if isinstance(sent, asyncio.Future) and sent.done() and not sent.cancelled() else None
            await self.settle(token, _settlement(told))

    def stop(self) -> None:
        """Leave what has no outcome yet to `close`."""
        self._closed = True

    async def _finish(self, token: str, tag: bytes, sent: Awaitable[DeliveryState | None]) -> None:
        state = await sent
        if state is None and self._link.attached.snd_settle_mode is SenderSettleMode.SETTLED:
            state = ACCEPTED  # the client wants no part in it
        elif self._closed:
            return  # `close` settles it, or gives it back
        late = await self.settle(token, _settlement(state))
        self._link.settle(tag, state or ACCEPTED if late is None else Rejected(error=link_error(late)))
        self._settled()


def _settlement(state: DeliveryState | None) -> Settlement:
    """Released and modified give it back, and so does settling without a word."""
    match state:
        case Accepted():
            return Settlement.COMPLETE
        case Rejected():
            return Settlement.REJECT
        case _:
            return Settlement.ABANDON
