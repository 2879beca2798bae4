"""Connection strings of services, and the tokens their keys sign (contract dps.md 2.4, hub.md 2.2). No I/O."""

from datetime import datetime, timedelta

from msgspec import Struct

from homeport.client.errors import ConnectionStringError
from homeport.security.sas import SCHEME, SasError, decode_key, encode_resource, sign
from homeport.values import hiding

TOKEN_LIFE = timedelta(hours=1)
_PARTS = {
    name.lower(): name for name in ("HostName", "SharedAccessKeyName", "SharedAccessKey", "SharedAccessSignature")
}


@hiding("key", "token")
class ServiceCredential(Struct, frozen=True, kw_only=True):
    """Where a service is and how to prove who asks."""

    authority: str
    """`host` or `host:port`, as the connection string has it."""
    policy: str | None = None
    key: bytes | None = None
    token: str | None = None
    """A ready token, used as it is, in place of policy and key."""

    @property
    def host_name(self) -> str:
        """The host without a port."""
        host, colon, port = self.authority.rpartition(":")
        return host if colon and port.isdigit() else self.authority

    def authorization(self, now: datetime) -> str:
        """Return the `Authorization` header's value; tokens signed here are good for an hour."""
        if self.token is not None:
            return self.token
        assert self.key is not None, "parse_connection_string lets nothing else through"
        expiry = int((now + TOKEN_LIFE).timestamp())
        return sign(encode_resource(self.host_name), self.key, expiry, self.policy)


def parse_endpoint(endpoint: str, token: str) -> ServiceCredential:
    """Read a service's address, `host`, `host:port` or a URL with these, for a bearer token.

    Raises ConnectionStringError, which does not repeat the token.
    """
    authority = endpoint.strip().removeprefix("https://").rstrip("/")
    if not authority or not authority.isprintable() or any(mark in authority for mark in "/@ ?#"):
        raise ConnectionStringError("the server's address is not a host name, with or without https:// and a port")
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConnectionStringError("the token is not one: it is empty, or has characters that no token has")
    return ServiceCredential(authority=authority, token=token)


def parse_connection_string(text: str) -> ServiceCredential:
    """Read `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`, or with `SharedAccessSignature` for the last two.

    The signature may be a bearer token (`Bearer …`), too. The host may carry a port. Raises ConnectionStringError.
    """
    parts: dict[str, str] = {}
    for item in text.strip().strip(";").split(";"):
        written, separator, value = item.partition("=")
        name = _PARTS.get(written.strip().lower())
        if not separator or name is None:
            raise ConnectionStringError(
                f"a connection string has the parts {', '.join(_PARTS.values())}, and no others"
            )
        if name in parts:
            raise ConnectionStringError(f"the connection string repeats {name}")
        parts[name] = value.strip()
    authority = parts.get("HostName", "")
    if not authority or "/" in authority or "@" in authority or not authority.isprintable() or " " in authority:
        raise ConnectionStringError("the connection string needs HostName: a host name, with or without a port")
    if token := parts.get("SharedAccessSignature"):
        if not token.startswith((SCHEME + " ", "Bearer ")):
            raise ConnectionStringError(f"SharedAccessSignature begins with neither '{SCHEME}' nor 'Bearer'")
        return ServiceCredential(authority=authority, token=token)
    policy, encoded = parts.get("SharedAccessKeyName"), parts.get("SharedAccessKey")
    if not policy or not encoded:
        raise ConnectionStringError("the connection string needs SharedAccessKeyName and SharedAccessKey")
    try:
        key = decode_key(encoded)
    except SasError as error:
        raise ConnectionStringError(f"SharedAccessKey: {error}") from error
    return ServiceCredential(authority=authority, policy=policy, key=key)
