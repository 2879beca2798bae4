"""Where files are kept that devices upload: any Azure-compatible account, or files below the data directory.

Adapters of the hub's ports (`hub.file_ports`). May import: hub models, ports and errors, security, net.http_client.
"""

from homeport.blobs.account import AccountStorage
from homeport.blobs.account_container import AccountContainer
from homeport.blobs.built_in import BuiltInStorage
from homeport.blobs.built_in_container import BuiltInContainer
from homeport.blobs.container_uri import read_container_uri
from homeport.blobs.files import BlobFiles

__all__ = [
    "AccountContainer",
    "AccountStorage",
    "BlobFiles",
    "BuiltInContainer",
    "BuiltInStorage",
    "read_container_uri",
]
