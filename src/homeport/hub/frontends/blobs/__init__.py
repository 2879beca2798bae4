"""The built-in blob store over HTTPS, in as much of Azure Storage's protocol as uploads and their readers use."""

from homeport.hub.frontends.blobs.front_end import BlobFrontEnd

__all__ = ["BlobFrontEnd"]
