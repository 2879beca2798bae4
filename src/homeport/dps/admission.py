"""Whether a call may be answered now. It is asked before anything expensive, the same for every transport.

Refusals are 429 with an honest retry-after: every client that repeats at all repeats on that (contract dps.md 3.6).
"""

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.gate import DEFAULT_GATE, BusyError, Gate, GateLimits
from homeport.dps.identifiers import Random
from homeport.dps.throttle import DEFAULT_RATES, Call, Comeback, Rates, Scope, Throttle, ThrottledError
from homeport.limits import network_of

_SHEDDING_SECONDS = 10.0
"""How long after the last refusal for want of time the service calls itself overloaded."""


class Admitted(Struct, frozen=True, kw_only=True):
    """A call that may go on. `end` when it needs no more processor time; a second time does nothing."""

    end: Callable[[], None]
    forgive: Callable[[], None]
    """The caller has proven nothing: take the call off the service's account."""


class Admission:
    """The limits of one process. Polls have turns of their own, so that no flood of new registrations delays them."""

    def __init__(
        self, clock: Clock, random: Random, *, rates: Rates = DEFAULT_RATES, gate: GateLimits = DEFAULT_GATE
    ) -> None:
        self._clock = clock
        self._throttle = Throttle(rates, random)
        self.gates = {Call.REGISTER: Gate(gate), Call.POLL: Gate(gate)}
        self._comeback = Comeback(random)
        self._shed_at = float("-inf")

    @property
    def throttled(self) -> Counter[tuple[Call, Scope]]:
        """How many calls were over a rate, by kind and whose rate."""
        return self._throttle.refused

    @property
    def is_busy(self) -> bool:
        """Whether registrations wait for their turn, as many as there are turns."""
        return self.gates[Call.REGISTER].is_busy

    @property
    def is_shedding(self) -> bool:
        """Whether calls were lately refused because there were more than can be worked on."""
        return self._now() - self._shed_at < _SHEDDING_SECONDS

    async def device(self, call: Call, *, address: str, device: str) -> Admitted:
        """Admit a device's call once it has its turn. Raises ThrottledError."""
        self._throttle.take(call, now=self._now(), address=address, device=device)
        gate = self.gates[call]
        try:
            end = await gate.enter(network_of(address))
        except BusyError:
            self._throttle.undo(call, address=address, device=device)
            now = self._now()
            self._shed_at = now
            raise ThrottledError(
                Scope.SERVICE,
                "more calls at once than this server can work on",
                self._comeback.after(now, 1.0, gate.interval),
            ) from None
        return Admitted(end=end, forgive=lambda: self._throttle.give_back(call))

    def operation(self, *, address: str) -> Callable[[], None]:
        """Admit an administrator's call; return what takes it back if it is not authorized. Raises ThrottledError."""
        self._throttle.take(Call.OPERATION, now=self._now(), address=address)
        return lambda: self._throttle.give_back(Call.OPERATION)

    def _now(self) -> float:
        return self._clock.now().timestamp()
