# Made by scripts/unasync.py: change its twin in _async instead.
"""The client of those who watch a hub of Homeport's (`/homeport/monitor`)."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import ClassVar

from homeport.client._sync.http import only
from homeport.client._sync.service_client import ServiceClient
from homeport.client.errors import TransportError
from homeport.client.event_stream import SILENCE, StreamReader
from homeport.client.monitor_models import MonitorEvent, MonitorKind, monitor_event


class HubMonitorClient(ServiceClient):
    """Watches a hub: needs ServiceConnect."""

    API_VERSION: ClassVar[str] = "2021-04-12"

    def monitor(
        self,
        *,
        kinds: Sequence[MonitorKind] = (),
        device_id: str | None = None,
        since: datetime | None = None,
        replay: int = 0,
    ) -> Iterator[MonitorEvent]:
        """Yield what happens, without an end; no message is lost when the connection is.

        `kinds` narrows to some of `telemetry`, `connection`, `twin` and `device`; `device_id` to a device with its
        modules. Messages begin at `since`, or with the last `replay` (at most 256), or now; `replay` also tells how a
        device is connected at the beginning. Changes are told from now on, and not those of a time without a
        connection; while one waits for a slow reader, further ones of its kind and device are told with it.
        Raises NotFoundError for an unknown device, ProvisioningServiceError, and TransportError when the hub stays
        away longer than the retry policy allows.
        """
        narrow = only({"events": ",".join(kinds) or None, "deviceId": device_id})
        place = only({"since": None if since is None else since.isoformat(), "replay": str(replay) if replay else None})
        failures = 0
        while True:
            reader = StreamReader(place.get("after", ""))
            try:
                for line in self._session.lines("/homeport/monitor", query={**narrow, **place}, silence=SILENCE):
                    failures = 0
                    message = reader.feed(line)
                    event = None if message is None else monitor_event(message)
                    if event is not None:
                        yield event
            except TransportError:
                if not self._session.pause_after(failures + 1):
                    raise
            # A line was heard, or this counts: a service that only hangs up is not asked without a pause.
            failures += 1
            if reader.last_id:
                place = {"after": reader.last_id}
