from homeport.hub.frontends.service.resource import READ, SERVICE, Calls, call
from homeport.hub.service.statistics import StatisticsResponder


class StatisticsResource:
    """`statistics/devices` and `statistics/service`."""

    def __init__(self, statistics: StatisticsResponder) -> None:
        self._statistics = statistics

    def calls(self, segments: tuple[str, ...]) -> Calls:
        match segments:
            case ("statistics", kind) if kind.lower() == "devices":
                return {"GET": call(READ, lambda _: self._statistics.devices())}
            case ("statistics", kind) if kind.lower() == "service":
                return {"GET": call(SERVICE, lambda _: self._statistics.service())}
            case _:
                return {}
