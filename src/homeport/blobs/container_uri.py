"""The address of a container with the signature that opens it, as services give it for imports and exports. Pure."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlsplit

from msgspec import Struct

from homeport.hub.transfer_ports import StorageFault
from homeport.values import hiding

_LONGEST = 4096


@hiding("signature", "fields")
class ContainerUri(Struct, frozen=True, kw_only=True):
    """`https://{account}.blob.core.windows.net/{container}?{signature}`, taken apart."""

    base: str
    """Without the signature, and without a slash at the end."""
    host: str
    """In lower case, without a port."""
    path: str
    """Begins with a slash and does not end with one."""
    signature: str
    fields: Mapping[str, str]
    """The signature's, decoded."""

    def blob(self, name: str, **more: str) -> str:
        """Return the address of a blob, with further parameters."""
        query = "&".join((self.signature, *(f"{key}={quote(value, safe='')}" for key, value in more.items())))
        return f"{self.base}/{quote(name)}?{query}"


def read_container_uri(text: str) -> ContainerUri:
    """Raise StorageFault for what cannot be the address of a container; it never repeats the address."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        fields = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=32))
        _ = parts.port
    except ValueError:
        raise StorageFault("The container's URI cannot be read.") from None
    if len(text) > _LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise StorageFault("The container's URI is too long, or has characters that no URI has.")
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise StorageFault("The container's URI is no http or https address.")
    path = parts.path.rstrip("/")
    if not path:
        raise StorageFault("The container's URI names no container.")
    if not fields.get("sig"):
        raise StorageFault("The container's URI has no shared access signature.")
    return ContainerUri(
        base=f"{parts.scheme}://{parts.netloc}{path}",
        host=parts.hostname.lower(),
        path=path,
        signature=parts.query,
        fields=fields,
    )
