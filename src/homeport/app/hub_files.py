"""Where a hub's files are: makes the parts of its file upload from what the process has."""

import re
from collections.abc import Callable, Collection
from pathlib import Path

from homeport.blobs import (
    AccountContainer,
    AccountStorage,
    BlobFiles,
    BuiltInContainer,
    BuiltInStorage,
    read_container_uri,
)
from homeport.clock import Clock
from homeport.hub.blob_account import CONTAINER
from homeport.hub.errors import HubCode, HubError
from homeport.hub.file_ports import BlobStorage, FileParts
from homeport.hub.model import FileUploadSettings
from homeport.hub.transfers import TransferContainer
from homeport.net.http_client import HttpClient
from homeport.security.blob_sas import StorageStringError, parse_connection_string
from homeport.security.policies import Random
from homeport.store import Stores

_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")


def file_parts(
    stores: Stores, root: Path, http: HttpClient, *, clock: Clock, random: Random
) -> Callable[[str], FileParts]:
    """Return what makes the parts for a hub by its name; `root` is the built-in store's directory."""

    def parts(hub: str) -> FileParts:
        container = BlobFiles(root / hub.lower(), stores.blobs(hub), clock=clock, random=random)

        def storage(settings: FileUploadSettings) -> BlobStorage:
            if settings.connection_string is None:
                return BuiltInStorage(hub, settings, container)
            return account_storage(settings.connection_string, settings.container or "", http, clock)

        def transfer_container(address: str, hosts: Collection[str], settings: FileUploadSettings) -> TransferContainer:
            uri = read_container_uri(address)
            if uri.path == f"/{CONTAINER}" and uri.host in {host.lower() for host in hosts}:
                return BuiltInContainer(uri, hub, settings, container, clock)
            return AccountContainer(uri, http, clock)

        return FileParts(
            uploads=stores.file_uploads(hub),
            notifications=stores.file_notifications(hub),
            container=container,
            storage=storage,
            transfer_container=transfer_container,
        )

    return parts


def account_storage(connection_string: str, container: str, http: HttpClient, clock: Clock) -> AccountStorage:
    """Open a container of an account. Raises HubError ARGUMENT_INVALID."""
    try:
        account = parse_connection_string(connection_string)
    except StorageStringError as error:
        raise HubError(HubCode.ARGUMENT_INVALID, f"connectionString: {error}.") from None
    if not _CONTAINER.fullmatch(container):
        raise HubError(HubCode.ARGUMENT_INVALID, "container is not the name of one: 3 to 63 of a-z, 0-9 and hyphens.")
    return AccountStorage(account, container, http, clock)
