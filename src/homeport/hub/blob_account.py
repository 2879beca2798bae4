"""The built-in blob store as the account it looks like from outside."""

from homeport.hub.model import FileUploadSettings
from homeport.security.blob_sas import StorageAccount

CONTAINER = "uploads"
"""The first segment of the store's addresses on its hub's site."""


def built_in_account(hub: str, settings: FileUploadSettings, host: str) -> StorageAccount:
    """Return the account that signs for the files of this hub, at a host name (with its port) of the hub's."""
    return StorageAccount(name=hub, key=settings.built_in_key, endpoint=f"https://{host}")
