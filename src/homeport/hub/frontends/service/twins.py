from homeport.hub.frontends.service.resource import SERVICE, Calls, call, call_with_body
from homeport.hub.service import Service


class TwinsResource:
    """`twins/{d}`, `twins/{d}/modules/{m}`, and `methods` below both."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def calls(self, segments: tuple[str, ...]) -> Calls:
        match segments:
            case ("twins", device_id):
                return self._twin(device_id, None)
            case ("twins", device_id, modules, module_id) if modules.lower() == "modules":
                return self._twin(device_id, module_id)
            case ("twins", device_id, methods) if methods.lower() == "methods":
                return self._methods(device_id, None)
            case ("twins", device_id, modules, module_id, methods) if (
                modules.lower() == "modules" and methods.lower() == "methods"
            ):
                return self._methods(device_id, module_id)
            case _:
                return {}

    def _twin(self, device_id: str, module_id: str | None) -> Calls:
        twins = self._service.twins
        return {
            "GET": call(SERVICE, lambda _: twins.get(device_id, module_id)),
            "PATCH": call_with_body(
                SERVICE, lambda request, body: twins.patch(device_id, module_id, body, request.if_match)
            ),
            "PUT": call_with_body(
                SERVICE, lambda request, body: twins.put(device_id, module_id, body, request.if_match)
            ),
        }

    def _methods(self, device_id: str, module_id: str | None) -> Calls:
        methods = self._service.methods
        return {"POST": call_with_body(SERVICE, lambda _, body: methods.call(device_id, module_id, body))}
