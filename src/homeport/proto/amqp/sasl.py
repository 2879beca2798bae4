"""The SASL mechanisms of the standard libraries of AMQP: how PLAIN spells its credentials (RFC 4616).

What a mechanism decides, and with how many rounds, is the application's: it answers SaslInit and SaslResponse.
"""

from msgspec import Struct

from homeport.proto import LocalProtocolError
from homeport.values import hiding

ANONYMOUS = "ANONYMOUS"
EXTERNAL = "EXTERNAL"
PLAIN = "PLAIN"


@hiding("password")
class PlainCredentials(Struct, frozen=True, kw_only=True):
    """Who wants to act (`authorization_id`, usually empty), who it is, and the password or token that proves it."""

    authorization_id: str = ""
    authentication_id: str
    password: str


def parse_plain(initial_response: bytes | None) -> PlainCredentials | None:
    """Read PLAIN's initial response; None if it is none (answer it with SaslOutcome AUTH)."""
    if initial_response is None:
        return None
    parts = initial_response.split(b"\0")
    if len(parts) != 3 or not parts[1]:
        return None
    try:
        authorization_id, authentication_id, password = (part.decode() for part in parts)
    except UnicodeDecodeError:
        return None
    return PlainCredentials(authorization_id=authorization_id, authentication_id=authentication_id, password=password)


def plain(credentials: PlainCredentials) -> bytes:
    """Write PLAIN's initial response. Raises LocalProtocolError if a part contains NUL."""
    parts = (credentials.authorization_id, credentials.authentication_id, credentials.password)
    if any("\0" in part for part in parts):
        raise LocalProtocolError("PLAIN has no way to write NUL")
    return "\0".join(parts).encode()
