"""The hubs that devices may be assigned to: create here, link elsewhere, weigh, unlink."""

from typing import TypeVar

from msgspec import UnsetType

from homeport.dps.hubs import HubService, Share
from homeport.dps.listing import read
from homeport.dps.reply import Reply, success
from homeport.dps.translate_service import hub_document
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.wire import dps_admin as wire

T = TypeVar("T")


class HubsResponder:
    def __init__(self, hubs: HubService) -> None:
        self._hubs = hubs

    async def list(self, tracking_id: str) -> Reply:
        return success(200, [hub_document(standing) for standing in await self._hubs.standings()], tracking_id)

    async def get(self, name: str, tracking_id: str) -> Reply:
        return success(200, hub_document(await self._hubs.standing(name)), tracking_id)

    async def check(self, name: str, tracking_id: str) -> Reply:
        """Look at the link now, and answer with what was found."""
        return success(200, hub_document(await self._hubs.check(name)), tracking_id)

    async def put(self, name: str, body: bytes, by: Caller) -> Reply:
        """Create a hub here (`hostNames`) or link one elsewhere (`connectionString`)."""
        document = read(wire.hub_creation, body)
        share = _share(document)
        hosts, connection = document.host_names, document.connection_string
        if isinstance(hosts, list) and not isinstance(connection, str):
            hub = await self._hubs.create(name, hosts, share, by=by)
        elif isinstance(connection, str) and not isinstance(hosts, list):
            authorities = document.ca_certificates
            hub = await self._hubs.link(
                name,
                connection,
                share,
                ca_certificates=authorities if isinstance(authorities, str) else None,
                by=by,
            )
        else:
            raise HomeportError(
                Code.INVALID_REQUEST,
                "Give either hostNames, for a hub of this server, or the connectionString of one elsewhere.",
            )
        return success(200, hub_document(await self._hubs.standing(hub.name)), by.tracking_id)

    async def patch(self, name: str, body: bytes, by: Caller) -> Reply:
        hub = await self._hubs.update(name, _share(read(wire.hub_change, body)), by=by)
        return success(200, hub_document(await self._hubs.standing(hub.name)), by.tracking_id)

    async def delete(self, name: str, by: Caller) -> Reply:
        await self._hubs.unlink(name, by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)


def _share(document: wire.HubChange) -> Share:
    return Share(
        allocation_weight=_given(document.allocation_weight),
        apply_allocation_policy=_given(document.apply_allocation_policy),
        draining=_given(document.draining),
        max_devices=_given(document.max_devices),
        region=_given(document.region),
    )


def _given(value: T | UnsetType | None) -> T | None:
    return None if isinstance(value, UnsetType) else value
