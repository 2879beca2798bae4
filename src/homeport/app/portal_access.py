"""The portal as this process serves it: its pages work with the public API, like everybody."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from homeport import __version__
from homeport.app.build import Parts
from homeport.app.config import Config
from homeport.app.directory import DataDirectory
from homeport.app.ip_filtering import LiveIpFilter
from homeport.client import NO_RETRY, ConnectionStringError, UnauthorizedError
from homeport.client.aio import HomeportAdminClient, HubClient, ProvisioningServiceClient
from homeport.client.connection_string import parse_connection_string
from homeport.portal import About, Entrance, PortalApi, create_portal
from homeport.security.callers import TOKEN_PREFIX, token_digest
from homeport.security.ip_filter import Door
from homeport.wire.versions import NEWEST_VERSION


class ApiClients:
    """Clients of this server's public API, found by `connection.json` like everybody's; a context manager."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._hubs: dict[str, tuple[str, HubClient]] = {}
        self._entered: dict[bytes, PortalApi] = {}
        self._open = AsyncExitStack()

    def api(self, token: str) -> PortalApi:
        """Return what the portal works with for whoever has this token."""
        return self._api(token, self._admin(token))

    async def enter(self, token: str) -> Entrance | None:
        """Return whom an administrator's token lets in; the same clients serve all who come with it."""
        if not token.startswith(TOKEN_PREFIX):
            return None
        digest = token_digest(token)
        known = self._entered.get(digest)
        try:
            admin = known.admin if known else self._admin(token)
        except ConnectionStringError:  # it has characters that no token has
            return None
        try:
            me = await admin.me()
        except UnauthorizedError:
            if known is None:
                await admin.aclose()
            return None
        if known is None:
            known = self._entered[digest] = self._api(token, admin)
        return Entrance(name=me.name, role=me.role or "reader", api=known)

    def _admin(self, token: str) -> HomeportAdminClient:
        info = self._directory.read_connection()
        authority = parse_connection_string(info.admin_connection_string).authority
        return HomeportAdminClient.create_from_token(authority, token, ca_file=info.ca_file, retry=NO_RETRY)

    def _api(self, token: str, admin: HomeportAdminClient) -> PortalApi:
        info = self._directory.read_connection()
        authority = parse_connection_string(info.admin_connection_string).authority
        service = ProvisioningServiceClient.create_from_token(
            authority, token, ca_file=info.ca_file, retry=NO_RETRY, api_version=NEWEST_VERSION
        )
        self._open.push_async_exit(service)
        self._open.push_async_exit(admin)
        return PortalApi(service=service, admin=admin, hubs=self.hubs)

    def _administrator(self) -> str:
        """Return the connection string as it is now: keys are rotated while the portal runs."""
        return self._directory.read_connection().admin_connection_string

    def hubs(self) -> Mapping[str, HubClient]:
        """Return a client for each hub this Homeport serves now."""
        info = self._directory.read_connection()
        for name, connection_string in info.hub_connection_strings.items():
            if name not in self._hubs or self._hubs[name][0] != connection_string:
                client = HubClient.create_from_connection_string(
                    connection_string, ca_file=info.ca_file, retry=NO_RETRY
                )
                self._open.push_async_exit(client)
                self._hubs[name] = (connection_string, client)
        return {name: self._hubs[name][1] for name in info.hub_connection_strings}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()


def _screened(ip_filter: LiveIpFilter) -> Middleware:
    @web.middleware
    async def screen(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not ip_filter.allows(request.remote or "", Door.PORTAL):
            raise web.HTTPForbidden(text="The portal is not open to this address.\n")
        return await handler(request)

    return screen


@asynccontextmanager
async def portal(
    config: Config, parts: Parts, directory: DataDirectory, place: socket.socket, *, token: str, grace: float
) -> AsyncIterator[None]:
    """Serve the portal in plain HTTP on an open socket; whoever has the token may sign in."""
    about = About(id_scope=parts.identity.id_scope, global_endpoint=parts.addresses.host_names[0], version=__version__)
    hosts = (config.portal_bind, *config.hostname)
    async with ApiClients(directory) as clients:
        application = create_portal(
            clients.api(token), token=token, about=about, hosts=hosts, clock=parts.clock, enter=clients.enter
        )
        application.middlewares.append(_screened(parts.protection.ip_filter))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=grace)
        await runner.setup()
        try:
            await web.SockSite(runner, place).start()
            yield
        finally:
            await runner.cleanup()
