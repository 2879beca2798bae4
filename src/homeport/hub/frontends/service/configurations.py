from homeport.hub.frontends.service.resource import SERVICE, Calls, call, call_with_body
from homeport.hub.service.configurations import MAX_CONFIGURATION_BODY, ConfigurationsResponder


class ConfigurationsResource:
    """`configurations`, one of them, `configurations/testQueries`, and `devices/{d}/applyConfigurationContent`."""

    def __init__(self, configurations: ConfigurationsResponder) -> None:
        self._configurations = configurations

    def calls(self, segments: tuple[str, ...]) -> Calls:
        configurations = self._configurations
        match segments:
            case ("configurations",):
                return {"GET": call(SERVICE, lambda request: configurations.list(request.parameter("top")))}
            case ("configurations", word) if word.lower() == "testqueries":
                return {"POST": call_with_body(SERVICE, lambda _, body: configurations.test(body))}
            case ("configurations", configuration_id):
                return {
                    "GET": call(SERVICE, lambda _: configurations.get(configuration_id)),
                    "PUT": call_with_body(
                        SERVICE,
                        lambda request, body: configurations.put(configuration_id, body, request.if_match),
                        MAX_CONFIGURATION_BODY,
                    ),
                    "DELETE": call(SERVICE, lambda request: configurations.delete(configuration_id, request.if_match)),
                }
            case ("devices", device_id, word) if word.lower() == "applyconfigurationcontent":
                return {
                    "POST": call_with_body(
                        SERVICE, lambda _, body: configurations.apply(device_id, body), MAX_CONFIGURATION_BODY
                    )
                }
            case _:
                return {}
