"""Why a device was let in or not."""

from homeport.dps.listing import Paging, listing
from homeport.dps.ports import AttemptStore
from homeport.dps.reply import Reply, success
from homeport.dps.translate_service import attempt_document
from homeport.errors import Code, HomeportError

DEFAULT_ATTEMPTS = 20
MAX_ATTEMPTS = 1000


class AttemptsResponder:
    def __init__(self, attempts: AttemptStore) -> None:
        self._attempts = attempts

    async def why(self, registration_id: str, limit: str | None, tracking_id: str) -> Reply:
        """Answer with a device's last attempts, newest first; an empty list for a stranger."""
        count = DEFAULT_ATTEMPTS
        if limit is not None:
            if not (limit.isascii() and limit.isdigit()) or not int(limit[:9]) >= 1:
                raise HomeportError(Code.INVALID_REQUEST, "limit is not a whole number from 1 up.")
            count = min(int(limit[:9]), MAX_ATTEMPTS)
        found = await self._attempts.latest(registration_id, limit=count)
        return success(200, [attempt_document(attempt) for attempt in found], tracking_id)

    async def get(self, wanted: str, tracking_id: str) -> Reply:
        """Answer with the attempt that a device was told this tracking id of."""
        found = await self._attempts.find(wanted)
        if found is None:
            raise HomeportError(Code.NOT_FOUND, "No attempt has this tracking id, or it is too long ago.")
        return success(200, attempt_document(found), tracking_id)

    async def list(self, paging: Paging, tracking_id: str) -> Reply:
        """Answer with a page of all devices' attempts, newest first."""
        after = paging.after("attempts")
        if after is not None and not (after.isascii() and after.isdigit() and len(after) < 19):
            raise HomeportError(Code.INVALID_REQUEST, "The continuation token is not one of this server.")
        page = await self._attempts.page(after=after, limit=paging.limit)
        return listing(page, [attempt_document(item) for item in page.items], "attempts", tracking_id)
