"""The device under test: measures, reports its interval, and answers one method."""

import json
from typing import Any

from azure.iot.device import IoTHubDeviceClient, Message, MethodResponse


class Thermometer:
    """A thermometer at its hub; `client` is connected."""

    def __init__(self, client: IoTHubDeviceClient) -> None:
        self._client = client
        client.on_method_request_received = self._answer
        client.on_twin_desired_properties_patch_received = self._configure

    def measure(self, celsius: float) -> None:
        """Send one reading."""
        message = Message(json.dumps({"celsius": celsius}), content_encoding="utf-8", content_type="application/json")
        if celsius > 90:
            message.custom_properties["alarm"] = "true"
        self._client.send_message(message)

    def _configure(self, desired: dict[str, Any]) -> None:
        self._client.patch_twin_reported_properties({"interval": desired["interval"]})

    def _answer(self, request: Any) -> None:
        status, payload = (200, {"pong": True}) if request.name == "ping" else (404, {"error": "no such method"})
        self._client.send_method_response(MethodResponse.create_from_method_request(request, status, payload))
