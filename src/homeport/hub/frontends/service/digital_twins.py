from homeport.hub.frontends.service.resource import SERVICE, Call, Calls, call, call_with_body
from homeport.hub.methods import MAX_PAYLOAD_BYTES
from homeport.hub.service.digital_twins import DigitalTwinsResponder


class DigitalTwinsResource:
    """`digitaltwins/{d}`, and `commands/{name}` below it and below its `components/{c}`."""

    def __init__(self, twins: DigitalTwinsResponder) -> None:
        self._twins = twins

    def calls(self, segments: tuple[str, ...]) -> Calls:
        twins = self._twins
        match segments:
            case ("digitaltwins", device_id):
                return {
                    "GET": call(SERVICE, lambda _: twins.get(device_id)),
                    "PATCH": call_with_body(
                        SERVICE, lambda request, body: twins.patch(device_id, body, request.if_match)
                    ),
                }
            case ("digitaltwins", device_id, word, name) if word.lower() == "commands":
                return {"POST": self._command(device_id, None, name)}
            case ("digitaltwins", device_id, components, component, word, name) if (
                components.lower() == "components" and word.lower() == "commands"
            ):
                return {"POST": self._command(device_id, component, name)}
            case _:
                return {}

    def _command(self, device_id: str, component: str | None, name: str) -> Call:
        return call_with_body(
            SERVICE,
            lambda request, body: self._twins.command(
                device_id,
                component,
                name,
                body,
                connect_timeout=request.parameter("connecttimeoutinseconds"),
                response_timeout=request.parameter("responsetimeoutinseconds"),
            ),
            MAX_PAYLOAD_BYTES,
        )
