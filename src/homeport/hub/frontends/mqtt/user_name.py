"""What a device says of itself in CONNECT (contract hub.md 13.2)."""

from urllib.parse import unquote

from msgspec import Struct


class UserName(Struct, frozen=True, kw_only=True):
    """What a device says of itself in CONNECT."""

    host: str
    client_id: str
    model_id: str | None = None

    @classmethod
    def parse(cls, text: str, client_id: str) -> "UserName | None":
        """Read a user name of any SDK. Ids stand raw in it, so the client id says how many segments they have."""
        host, *rest = text.split("/", client_id.count("/") + 2)
        ids = client_id.count("/") + 1
        if len(rest) < ids:
            return None
        parameters = rest[ids] if len(rest) > ids else ""
        return cls(host=host, client_id="/".join(rest[:ids]), model_id=_parameters(parameters).get("model-id") or None)


def _parameters(text: str) -> dict[str, str]:
    """Read the parameters of a user name; older clients leave out the `?` and part them with slashes."""
    marked = text.startswith("?")
    parameters: dict[str, str] = {}
    for item in text.removeprefix("?").replace("&" if marked else "/", "&").split("&"):
        name, _, value = item.partition("=")
        parameters.setdefault(unquote(name), unquote(value))
    return parameters
