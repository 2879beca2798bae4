"""What a device and the provisioning service say to each other over AMQP, without I/O (contract dps.md 5)."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from homeport.client.errors import UnexpectedAnswerError
from homeport.client.registration import Answer, TpmKeys
from homeport.proto.amqp import Data, Error, Message, Properties, SaslCode, SaslOutcome, Symbol
from homeport.wire import WireError
from homeport.wire import decode as decode_document
from homeport.wire.dps_device import Challenge, error_body

WEBSOCKET_PROTOCOL: Final = "AMQPWSB10"
TPM: Final = "TPM"
EMPTY: Final = b"\0"
"""What asks for the next part of an exchange in SASL TPM."""

_LAST_SEGMENT: Final = 0x40
_REFUSED_STATUS: Final = 401


def address(id_scope: str, registration_id: str) -> str:
    """Return the address of both links, and the user name of SASL PLAIN."""
    return f"{id_scope}/registrations/{registration_id}"


def link_properties(api_version: str) -> dict[Symbol, str]:
    """Return what both links say of themselves."""
    return {Symbol("com.microsoft:api-version"): api_version}


def register_message(body: bytes, correlation_id: str) -> Message:
    """Ask for a hub."""
    return Message(
        properties=Properties(correlation_id=correlation_id),
        application_properties={"iotdps-operation-type": "iotdps-register"},
        body=Data((body,)),
    )


def operation_status_message(operation_id: str, correlation_id: str) -> Message:
    """Ask how far the service is."""
    return Message(
        properties=Properties(correlation_id=correlation_id),
        application_properties={
            "iotdps-operation-type": "iotdps-get-operationstatus",
            "iotdps-operation-id": operation_id,
        },
        body=Data((b"",)),
    )


def read_response(message: Message, status: int) -> Answer:
    """Read what came on the receiving link; AMQP has no status number there, the body says it all."""
    return Answer(status=status, body=message.data or b"", headers=_headers(message.application_properties))


def read_refusal(error: Error | None) -> Answer:
    """Read the error of a rejected request, a refused link or a closed connection: the error body is in its text."""
    if error is None:
        raise UnexpectedAnswerError("the service ended the exchange without a reason")
    body = (error.description or "").encode()
    status = _status(body)
    if status is None:
        raise UnexpectedAnswerError(f"the service refused the request ({error.condition})")
    return Answer(status=status, body=body, headers=_headers(error.info))


def read_outcome(outcome: SaslOutcome) -> Answer | None:
    """Read the end of SASL: None when it is good, or the refusal; Homeport puts the error body beside the code."""
    if outcome.code is SaslCode.OK:
        return None
    body = outcome.additional_data or b""
    status = _status(body)
    if status is not None:
        return Answer(status=status, body=body, headers={})
    if outcome.code is SaslCode.AUTH:
        return Answer(status=_REFUSED_STATUS, body=b"", headers={})
    raise ConnectionError(f"the service could not authenticate the device (SASL outcome {outcome.code:d})")


def _headers(told: Mapping[Any, Any] | None) -> dict[str, str]:
    """Word `retry-after`, which is an int or a string, as HTTPS would."""
    match (told or {}).get("retry-after"):
        case int() as seconds:
            return {"retry-after": f"{seconds:d}"}
        case str() as seconds:
            return {"retry-after": seconds}
        case _:
            return {}


def _status(body: bytes) -> int | None:
    try:
        return decode_document(error_body, body).error_code // 1000
    except WireError:
        return None


# ---------------------------------------------------------------- SASL TPM (contract dps.md 5.2)


def hello(id_scope: str, registration_id: str, keys: TpmKeys) -> bytes:
    """Say who the device claims to be, and its endorsement key."""
    names = f"{id_scope}\0{registration_id}\0".encode()
    return EMPTY + names + keys.endorsement_key


def is_last(segment: bytes) -> bool:
    """Tell whether this part of the challenge is the last."""
    return bool(segment) and bool(segment[0] & _LAST_SEGMENT)


def challenge_answer(blob: bytes) -> Answer:
    """Word the challenge as HTTPS would, so that what follows is the same on both (contract dps.md 7.2)."""
    document = {"authenticationKey": blob, "message": Challenge(authentication_key="").message}
    return Answer(status=_REFUSED_STATUS, body=msgspec.json.encode(document), headers={})
