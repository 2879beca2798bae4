"""Services take delivery feedback and file notifications over HTTPS (contract hub.md 18.3, 18.4)."""

from collections.abc import Callable
from typing import Generic, TypeVar

from homeport.hub.message_lock import Settlement
from homeport.hub.notices import Batch, Notices
from homeport.hub.reply import Reply

N = TypeVar("N")


class NoticesResponder(Generic[N]):
    def __init__(self, notices: Notices[N], write: Callable[[Batch[N]], bytes]) -> None:
        self._notices = notices
        self._write = write

    async def take(self) -> Reply:
        """Answer what waits, under a lock in `ETag`, or 204. A caller does not wait for a batch to fill."""
        batch = await self._notices.take(patient=False)
        if batch is None:
            return Reply(status=204)
        return Reply(status=200, body=self._write(batch), headers={"ETag": f'"{batch.token}"'})

    async def settle(self, token: str, settlement: Settlement) -> Reply:
        """End a delivery. Raises HubError MESSAGE_LOCK_LOST."""
        await self._notices.settle(token.strip('"'), settlement)
        return Reply(status=204)
