"""Where files are kept that devices upload: any Azure-compatible account, or files below the data directory.

Adapters of the hub's ports (`hub.file_ports`). May import: hub models, ports and errors, security, net.http_client.
"""

from homeport.blobs.account import AccountStorage
from homeport.blobs.built_in import BuiltInStorage
from homeport.blobs.files import BlobFiles

__all__ = ["AccountStorage", "BlobFiles", "BuiltInStorage"]
