"""What only Homeport tells administrators: why a device was let in or not, all registrations, linked hubs."""

from msgspec import UnsetType

from homeport.dps.enrollments import EnrollmentService
from homeport.dps.hubs import HubService, Share
from homeport.dps.ports import AttemptStore
from homeport.dps.reply import Reply, success
from homeport.dps.service_responder import Paging, listing, read
from homeport.dps.translate_service import attempt_document, hub_document, registration_document
from homeport.errors import Code, HomeportError
from homeport.wire import dps_admin as wire

DEFAULT_ATTEMPTS = 20
MAX_ATTEMPTS = 1000


class AdminResponder:
    """Answers under `/homeport/`. Methods raise HomeportError; `reply.answer` around them makes the error body."""

    def __init__(self, *, attempts: AttemptStore, enrollments: EnrollmentService, hubs: HubService) -> None:
        self._attempts = attempts
        self._enrollments = enrollments
        self._hubs = hubs

    async def why(self, registration_id: str, limit: str | None, tracking_id: str) -> Reply:
        """Answer with a device's last attempts, newest first; an empty list for a stranger."""
        count = DEFAULT_ATTEMPTS
        if limit is not None:
            if not (limit.isascii() and limit.isdigit()) or not int(limit[:9]) >= 1:
                raise HomeportError(Code.INVALID_REQUEST, "limit is not a whole number from 1 up.")
            count = min(int(limit[:9]), MAX_ATTEMPTS)
        found = await self._attempts.latest(registration_id, limit=count)
        return success(200, [attempt_document(attempt) for attempt in found], tracking_id)

    async def attempt(self, wanted: str, tracking_id: str) -> Reply:
        found = await self._attempts.find(wanted)
        if found is None:
            raise HomeportError(Code.NOT_FOUND, "No attempt has this tracking id, or it is too long ago.")
        return success(200, attempt_document(found), tracking_id)

    async def attempts(self, paging: Paging, tracking_id: str) -> Reply:
        after = paging.after("attempts")
        if after is not None and not (after.isascii() and after.isdigit() and len(after) < 19):
            raise HomeportError(Code.INVALID_REQUEST, "The continuation token is not one of this server.")
        page = await self._attempts.page(after=after, limit=paging.limit)
        return listing(page, [attempt_document(item) for item in page.items], "attempts", tracking_id)

    async def registrations(self, paging: Paging, tracking_id: str) -> Reply:
        name = "all registrations"
        page = await self._enrollments.page_registrations(group_id=None, after=paging.after(name), limit=paging.limit)
        return listing(page, [registration_document(item) for item in page.items], name, tracking_id)

    async def hubs(self, tracking_id: str) -> Reply:
        return success(200, [hub_document(hub) for hub in await self._hubs.all()], tracking_id)

    async def hub(self, name: str, tracking_id: str) -> Reply:
        for hub in await self._hubs.all():
            if hub.name.lower() == name.lower():
                return success(200, hub_document(hub), tracking_id)
        raise HomeportError(Code.NOT_FOUND, "No hub of that name is linked.")

    async def put_hub(self, name: str, body: bytes, tracking_id: str) -> Reply:
        """Create a hub here (`hostNames`) or link one elsewhere (`connectionString`)."""
        document = read(wire.hub_creation, body)
        share = _share(document)
        hosts, connection = document.host_names, document.connection_string
        if isinstance(hosts, list) and not isinstance(connection, str):
            hub = await self._hubs.create(name, hosts, share)
        elif isinstance(connection, str) and not isinstance(hosts, list):
            authorities = document.ca_certificates
            hub = await self._hubs.link(
                name, connection, share, ca_certificates=authorities if isinstance(authorities, str) else None
            )
        else:
            raise HomeportError(
                Code.INVALID_REQUEST,
                "Give either hostNames, for a hub of this server, or the connectionString of one elsewhere.",
            )
        return success(200, hub_document(hub), tracking_id)

    async def patch_hub(self, name: str, body: bytes, tracking_id: str) -> Reply:
        hub = await self._hubs.update(name, _share(read(wire.hub_change, body)))
        return success(200, hub_document(hub), tracking_id)

    async def delete_hub(self, name: str, tracking_id: str) -> Reply:
        await self._hubs.unlink(name)
        return Reply(status=204, body=b"", tracking_id=tracking_id)


def _share(document: wire.HubCreation | wire.HubChange) -> Share:
    weight, applies = document.allocation_weight, document.apply_allocation_policy
    return Share(
        allocation_weight=None if isinstance(weight, UnsetType) else weight,
        apply_allocation_policy=None if isinstance(applies, UnsetType) else applies,
    )
