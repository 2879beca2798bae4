"""The subscriptions devices leave behind for their next connection (clean session 0; contract hub.md 13.10).

SDKs rely on them: they subscribe once, and not again when they reconnect, to whichever process that is.
"""

from collections.abc import Mapping

from homeport.hub.model import KeptFilters
from homeport.hub.ports import MqttSubscriptionStore
from homeport.hub.responder import Connected


class KeptSubscriptions:
    """The filters of one connection, with their granted quality, as the next one will find them."""

    def __init__(self, store: MqttSubscriptionStore, connected: Connected, *, clean: bool) -> None:
        """Serve one connection; a `clean` one leaves nothing, and drops what is there."""
        self._store = store
        self._device_id = connected.session.device_id
        self._generation_id = connected.session.generation_id
        self._clean = clean
        self._known: Mapping[str, int] = {}

    async def recall(self) -> Mapping[str, int] | None:
        """Return what an earlier connection has left, None if there is no such state."""
        kept = await self._store.get(self._device_id)
        if kept is None:
            return None
        if self._clean or kept.generation_id != self._generation_id:
            await self._store.delete(self._device_id)
            return None
        self._known = kept.filters
        return kept.filters

    async def keep(self, filters: Mapping[str, int]) -> None:
        """Remember the subscriptions, durably; what is known already is not written again."""
        if self._clean or filters == self._known:
            return
        self._known = dict(filters)
        await self._store.put(self._device_id, KeptFilters(generation_id=self._generation_id, filters=self._known))
