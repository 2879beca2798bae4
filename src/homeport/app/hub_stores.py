"""Opens what a hub keeps things in, over one database and one data directory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from homeport.app.hub_files import file_parts
from homeport.app.hub_routing import routing_parts
from homeport.clock import Clock
from homeport.hub.hub_stores import HubStores, OpenHubStores
from homeport.net.http_client import HttpClient
from homeport.security.policies import Random
from homeport.store import Stores


@asynccontextmanager
async def hub_stores(
    stores: Stores, blobs: Path, http: HttpClient, *, clock: Clock, random: Random
) -> AsyncIterator[OpenHubStores]:
    """Yield what opens a hub's stores; files lie below `blobs`, other blob storage is reached by `http`.

    Connections to webhooks are closed at the end.
    """
    files = file_parts(stores, blobs, http, clock=clock, random=random)
    async with routing_parts(stores, files, http, clock) as routing:

        def opened(name: str) -> HubStores:
            return HubStores(
                devices=stores.devices(name),
                messages=stores.messages(name),
                feedback=stores.feedback(name),
                queues=stores.hub_queues(name),
                subscriptions=stores.mqtt_subscriptions(name),
                jobs=stores.jobs(name),
                transfers=stores.transfers(name),
                configurations=stores.configurations(name),
                authorities=stores.hub_authorities(name),
                streams=stores.event_streams(name),
                log=stores.events,
                routing=routing(name),
                files=files(name),
            )

        yield opened
