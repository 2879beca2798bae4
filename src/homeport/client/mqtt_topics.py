"""The names by which registration runs over MQTT (contract dps.md 4). Text only."""

import re
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from homeport.client.registration import API_VERSION

RESPONSES: Final = "$dps/registrations/res/#"
CLIENT_VERSION: Final = "homeport-client"
WEBSOCKET_PATH: Final = "/$iothub/websocket"

_RESPONSE = re.compile(
    r"\$dps/registrations/res/(?P<status>[1-5]\d\d)/\?\$rid=(?P<rid>[^&]*)(?:&retry-after=(?P<wait>\d+))?", re.ASCII
)


class Response(Struct, frozen=True, kw_only=True):
    """What a response topic says."""

    status: int
    request_id: str
    retry_after: str | None


def user_name(id_scope: str, registration_id: str, api_version: str = API_VERSION) -> str:
    """Return the CONNECT user name (contract dps.md 4.1)."""
    version = quote(CLIENT_VERSION, safe="")
    return f"{id_scope}/registrations/{registration_id}/api-version={api_version}&ClientVersion={version}"


def register_topic(request_id: str) -> str:
    """Return where a register request is published."""
    return f"$dps/registrations/PUT/iotdps-register/?$rid={request_id}"


def operation_status_topic(request_id: str, operation_id: str) -> str:
    """Return where an operation status request is published."""
    operation = quote(operation_id, safe="")
    return f"$dps/registrations/GET/iotdps-get-operationstatus/?$rid={request_id}&operationId={operation}"


def parse_response(topic: str) -> Response | None:
    """Read a response topic; None for any other."""
    match = _RESPONSE.fullmatch(topic)
    if match is None:
        return None
    return Response(status=int(match["status"]), request_id=match["rid"], retry_after=match["wait"])
