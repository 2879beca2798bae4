"""The portal's way in: the token people sign in with, and the API clients its pages use."""

import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Self

from homeport.app.directory import DataDirectory
from homeport.client import NO_RETRY
from homeport.client.aio import HomeportAdminClient, HubRegistryClient, ProvisioningServiceClient
from homeport.portal.context import PortalApi

TOKEN_FILE = "portal-token"  # noqa: S105 - the name of a file


def load_token(directory: DataDirectory) -> str:
    """Return the token for signing in, made on the first start; deleting its file makes a new one."""
    stored = directory.read(TOKEN_FILE)
    if stored is not None and stored.strip():
        return stored.decode().strip()
    token = secrets.token_urlsafe(24)
    directory.write(TOKEN_FILE, f"{token}\n".encode())
    return token


class ApiClients:
    """Clients of this server's public API, found by `connection.json` like everybody's; a context manager."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._hubs: dict[str, tuple[str, HubRegistryClient]] = {}
        self._open = AsyncExitStack()

    def api(self) -> PortalApi:
        """Return what the portal works with."""
        info = self._directory.read_connection()
        service = ProvisioningServiceClient.create_from_connection_string(
            info.admin_connection_string, ca_file=info.ca_file, retry=NO_RETRY
        )
        admin = HomeportAdminClient.create_from_connection_string(
            info.admin_connection_string, ca_file=info.ca_file, retry=NO_RETRY
        )
        self._open.push_async_exit(service)
        self._open.push_async_exit(admin)
        return PortalApi(service=service, admin=admin, hubs=self.hubs)

    def hubs(self) -> Mapping[str, HubRegistryClient]:
        """Return a client for each hub this Homeport serves now."""
        info = self._directory.read_connection()
        for name, connection_string in info.hub_connection_strings.items():
            if name not in self._hubs or self._hubs[name][0] != connection_string:
                client = HubRegistryClient.create_from_connection_string(
                    connection_string, ca_file=info.ca_file, retry=NO_RETRY
                )
                self._open.push_async_exit(client)
                self._hubs[name] = (connection_string, client)
        return {name: self._hubs[name][1] for name in info.hub_connection_strings}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()
