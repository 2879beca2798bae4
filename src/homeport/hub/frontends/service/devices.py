from homeport.hub.frontends.service.resource import QUERY, READ, SERVICE, WRITE, Calls, call, call_with_body
from homeport.hub.service import Service
from homeport.hub.service.bulk import MAX_BULK_BODY


class DevicesResource:
    """`devices`, `devices/{d}`, its modules and its queue, and `devices/query`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def calls(self, segments: tuple[str, ...]) -> Calls:
        devices, modules = self._service.devices, self._service.modules
        match segments:
            case ("devices",):
                return {
                    "GET": call(READ, lambda request: devices.list(request.parameter("top"))),
                    "POST": call_with_body(WRITE, lambda _, body: self._service.bulk.run(body), MAX_BULK_BODY),
                }
            case ("devices", device_id):
                calls = {
                    "GET": call(READ, lambda _: devices.get(device_id)),
                    "PUT": call_with_body(WRITE, lambda request, body: devices.put(device_id, body, request.if_match)),
                    "DELETE": call(WRITE, lambda request: devices.delete(device_id, request.if_match)),
                }
                if device_id.lower() == "query":  # a device may have this name, but nobody posts to a device
                    calls["POST"] = call_with_body(
                        QUERY,
                        lambda request, body: self._service.queries.query(
                            body,
                            max_items=request.header("x-ms-max-item-count"),
                            continuation=request.header("x-ms-continuation"),
                        ),
                    )
                return calls
            case ("devices", device_id, word) if word.lower() == "modules":
                return {"GET": call(READ, lambda _: modules.list(device_id))}
            case ("devices", keys, word) if (keys.lower(), word.lower()) == ("keys", "regenerate"):
                return {"POST": call_with_body(WRITE, lambda _, body: self._service.keys.regenerate(body))}
            case ("devices", device_id, word, module_id) if word.lower() == "modules":
                return {
                    "GET": call(READ, lambda _: modules.get(device_id, module_id)),
                    "PUT": call_with_body(
                        WRITE, lambda request, body: modules.put(device_id, module_id, body, request.if_match)
                    ),
                    "DELETE": call(WRITE, lambda request: modules.delete(device_id, module_id, request.if_match)),
                }
            case ("devices", device_id, word) if word.lower() == "commands":
                return {"DELETE": call(WRITE | SERVICE, lambda _: devices.purge(device_id))}
            case _:
                return {}
