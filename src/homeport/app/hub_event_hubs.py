"""How administrators reach the Event Hubs-compatible endpoints of the hubs that this process serves."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from homeport.app.hub_collections import hub_named
from homeport.errors import Code, HomeportError
from homeport.hub.errors import HubError
from homeport.hub.event_streams import EventStreams
from homeport.hub.hubs import Hubs
from homeport.hub.model import BUILT_IN, ConsumerGroup, EventStream
from homeport.security.callers import Caller
from homeport.wire import format_time
from homeport.wire import hub_event_hubs as wire

_MOST_DAYS = 10_000


class LocalEventHubs:
    """The endpoints of hubs in this process (an EventHubAdministration)."""

    def __init__(self, hubs: Hubs) -> None:
        self._hubs = hubs

    async def all(self, hub: str) -> Sequence[wire.EventHub]:
        streams = self._streams(hub)
        return [_event_hub(streams, stream) for stream in await streams.all()]

    async def get(self, hub: str, endpoint: str) -> wire.EventHub:
        streams = self._streams(hub)
        with _told():
            return _event_hub(streams, await streams.settings(endpoint))

    async def configure(
        self, hub: str, endpoint: str, *, retention_days: int | None, max_bytes: int | None, by: Caller
    ) -> wire.EventHub:
        streams = self._streams(hub)
        # Beyond what a timedelta can hold, any number is too large.
        retention = None if retention_days is None else timedelta(days=max(-1, min(retention_days, _MOST_DAYS)))
        with _told():
            changed = await streams.configure(endpoint, retention=retention, max_bytes=max_bytes, by=by)
        return _event_hub(streams, changed)

    async def groups(self, hub: str, endpoint: str) -> Sequence[wire.ConsumerGroup]:
        with _told():
            return [_group(group) for group in await self._streams(hub).groups(endpoint)]

    async def create_group(self, hub: str, endpoint: str, group: str, *, by: Caller) -> wire.ConsumerGroup:
        with _told():
            return _group(await self._streams(hub).create_group(group, name=endpoint, by=by))

    async def remove_group(self, hub: str, endpoint: str, group: str, *, by: Caller) -> None:
        with _told():
            await self._streams(hub).remove_group(group, name=endpoint, by=by)

    def _streams(self, hub: str) -> EventStreams:
        return hub_named(self._hubs, hub).streams


@contextmanager
def _told() -> Iterator[None]:
    """Tell the hub's refusals in the words of the administration."""
    try:
        yield
    except HubError as error:
        code = Code.NOT_FOUND if error.code.status == 404 else Code.INVALID_REQUEST
        raise HomeportError(code, error.message) from None


def _event_hub(streams: EventStreams, stream: EventStream) -> wire.EventHub:
    return wire.EventHub(
        name=stream.name,
        event_hub_name=streams.event_hub_name if stream.name == BUILT_IN else stream.name,
        partition_count=stream.partitions,
        retention_days=stream.retention.days,
        max_bytes=stream.max_bytes,
        created_date_time_utc=format_time(stream.created_at),
    )


def _group(group: ConsumerGroup) -> wire.ConsumerGroup:
    return wire.ConsumerGroup(name=group.name, created_date_time_utc=format_time(group.created_at))
