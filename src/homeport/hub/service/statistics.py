"""How many devices there are, and how many are connected (contract hub.md 5)."""

from homeport.hub.registry import Registry
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer
from homeport.hub.sessions_elsewhere import SessionsElsewhere
from homeport.wire import hub_service as wire


class StatisticsResponder:
    def __init__(self, registry: Registry, sessions: SessionsElsewhere) -> None:
        self._registry = registry
        self._sessions = sessions

    async def devices(self) -> Reply:
        counts = await self._registry.statistics()
        return answer(
            wire.RegistryStatistics(
                total_device_count=counts.total,
                enabled_device_count=counts.enabled,
                disabled_device_count=counts.disabled,
            )
        )

    async def service(self) -> Reply:
        return answer(wire.ServiceStatistics(connected_device_count=await self._sessions.count()))
