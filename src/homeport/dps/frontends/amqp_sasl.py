"""The SASL mechanisms of the provisioning service: PLAIN with a SAS token, and TPM byte for byte (contract dps.md 5.2).

Who is genuine is decided elsewhere; here stands only how each side spells what it says.
"""

from typing import Final

from msgspec import Struct

from homeport.net.amqp_handlers import SaslExchange
from homeport.security.sas import MAX_TOKEN_LENGTH
from homeport.security.tpm import MAX_PUBLIC_BYTES
from homeport.values import hiding

TPM: Final = "TPM"
SEGMENT_BYTES: Final = 470
"""What the C client takes in one frame, and sends in one; two of them hold every blob."""
FIRST_SEGMENT: Final = 0x80
LAST_SEGMENT: Final = 0xC1

_IS_SEGMENT: Final = 0x80
_IS_LAST: Final = 0x40
_EMPTY: Final = b"\0"
_MAX_HELLO: Final = 2 * 130 + MAX_PUBLIC_BYTES
_MAX_SEGMENTS: Final = 4
"""The sequence number has two bits."""


class SaslFormError(ValueError):
    """What the client said is not of the mechanism's form; the text is safe to log."""


@hiding("endorsement_key")
class TpmHello(Struct, frozen=True, kw_only=True):
    """What a TPM device says first: who it claims to be, and its endorsement key (`TPM2B_PUBLIC`)."""

    id_scope: str
    registration_id: str
    endorsement_key: bytes


async def read_hello(initial_response: bytes | None, exchange: SaslExchange) -> TpmHello:
    """Read `{scope} 00 {registration} 00 {EK}` of the first response. Raises SaslFormError."""
    said = await _whole(initial_response or b"", exchange, _MAX_HELLO)
    scope, _, rest = said.partition(b"\0")
    registration_id, separator, endorsement_key = rest.partition(b"\0")
    if not separator or not endorsement_key:
        raise SaslFormError("the first response is not scope, registration id and endorsement key")
    try:
        return TpmHello(
            id_scope=scope.decode("ascii"),
            registration_id=registration_id.decode("ascii"),
            endorsement_key=endorsement_key,
        )
    except UnicodeDecodeError:
        raise SaslFormError("scope and registration id are not ASCII") from None


async def ask_storage_root_key(exchange: SaslExchange) -> bytes:
    """Ask for the SRK (`TPM2B_PUBLIC`) with exactly one zero byte, as Java demands. Raises SaslFormError."""
    return await _whole(await exchange.challenge(_EMPTY), exchange, MAX_PUBLIC_BYTES)


async def ask_token(blob: bytes, exchange: SaslExchange) -> str:
    """Hand over the challenge in its two segments; return the token that the TPM signed. Raises SaslFormError."""
    first, last = segments(blob)
    await exchange.challenge(first)
    token = await _whole(await exchange.challenge(last), exchange, MAX_TOKEN_LENGTH)
    try:
        return token.decode("ascii")
    except UnicodeDecodeError:
        raise SaslFormError("the SAS token is not ASCII") from None


def segments(blob: bytes) -> tuple[bytes, bytes]:
    """Split a challenge in two, each behind its control byte: clients compare them for equality."""
    if not SEGMENT_BYTES < len(blob) <= 2 * SEGMENT_BYTES:
        raise ValueError(f"a TPM challenge of {len(blob)} bytes does not fill two segments")
    return bytes((FIRST_SEGMENT,)) + blob[:SEGMENT_BYTES], bytes((LAST_SEGMENT,)) + blob[SEGMENT_BYTES:]


async def _whole(said: bytes, exchange: SaslExchange, most: int) -> bytes:
    """Return what stands behind the control byte; C says what exceeds a frame in segments, each of them asked for."""
    whole = bytearray()
    for _ in range(_MAX_SEGMENTS):
        if not said:
            raise SaslFormError("a response without control byte")
        whole += said[1:]
        if len(whole) > most:
            raise SaslFormError(f"a response of more than {most} bytes")
        if not said[0] & _IS_SEGMENT or said[0] & _IS_LAST:
            return bytes(whole)
        said = await exchange.challenge(_EMPTY)
    raise SaslFormError("a response in too many segments")
