from homeport.hub.frontends.service.resource import SERVICE, Calls, call, call_with_body
from homeport.hub.service import Service


class TwinsResource:
    """`twins/{d}` and `twins/{d}/methods`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def calls(self, segments: tuple[str, ...]) -> Calls:
        twins = self._service.twins
        match segments:
            case ("twins", device_id):
                return {
                    "GET": call(SERVICE, lambda _: twins.get(device_id)),
                    "PATCH": call_with_body(
                        SERVICE, lambda request, body: twins.patch(device_id, body, request.if_match)
                    ),
                    "PUT": call_with_body(SERVICE, lambda request, body: twins.put(device_id, body, request.if_match)),
                }
            case ("twins", device_id, word) if word.lower() == "methods":
                return {"POST": call_with_body(SERVICE, lambda _, body: self._service.methods.call(device_id, body))}
            case _:
                return {}
