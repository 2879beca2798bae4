"""Devices' questions to the provisioning service with the fault lab: each asks what is to go wrong with it.

What was done stands in the attempt's record, and the message to the device names the fault.
"""

from typing import Any

from homeport.dps.attempts import RefusedError
from homeport.dps.attestation import Refused
from homeport.dps.engine import Engine
from homeport.dps.identifiers import is_registration_id
from homeport.dps.model import CallContext, DeviceClaim, Evidence
from homeport.dps.reply import Reply
from homeport.dps.responder import DeviceResponder
from homeport.errors import Code
from homeport.faults import FaultLab, Occasion, Place, Point, Refusal
from homeport.values import replace
from homeport.wire.versions import is_api_version

CHECK = "fault lab"
"""What the checks of a record are called that tell of faults."""

_CODES = {429: Code.THROTTLED, 500: Code.INTERNAL}
_ADVICE = "Stop the fault with `homeport fault stop`, or wait for its end."


class InjectedError(RefusedError):
    """The lab refuses the call."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(
            Refused(
                code=_CODES.get(refusal.status, Code.UNAVAILABLE),
                message=refusal.text,
                reason=refusal.text,
                advice=_ADVICE,
                enrollment=None,
                checks=(),
            )
        )
        if refusal.retry_after is not None:
            self.retry_after = refusal.retry_after


class FaultedDeviceResponder(DeviceResponder):
    """A DeviceResponder that obeys the lab."""

    def __init__(self, lab: FaultLab, engine: Engine, *parts: Any, **more: Any) -> None:
        super().__init__(engine, *parts, **more)
        self._lab = lab

    async def register(self, claim: DeviceClaim, evidence: Evidence, body: bytes, context: CallContext) -> Reply:
        obeyed = await self._obey(Point.REGISTER, claim, evidence, context)
        return obeyed if isinstance(obeyed, Reply) else await super().register(claim, evidence, body, obeyed)

    async def operation_status(
        self, claim: DeviceClaim, evidence: Evidence, operation_id: str, context: CallContext
    ) -> Reply:
        obeyed = await self._obey(Point.POLL, claim, evidence, context)
        if isinstance(obeyed, Reply):
            return obeyed
        return await super().operation_status(claim, evidence, operation_id, obeyed)

    async def registration_state(
        self, claim: DeviceClaim, evidence: Evidence, body: bytes, context: CallContext
    ) -> Reply:
        obeyed = await self._obey(Point.POLL, claim, evidence, context)
        if isinstance(obeyed, Reply):
            return obeyed
        return await super().registration_state(claim, evidence, body, obeyed)

    async def _obey(
        self, point: Point, claim: DeviceClaim, evidence: Evidence, context: CallContext
    ) -> CallContext | Reply:
        """Wait as long as the call is to wait; return its context with what was done, or the refusal."""
        device_id = claim.registration_id
        if not is_registration_id(device_id):
            return context  # nobody whom a fault could mean
        occasion = Occasion(
            place=Place.PROVISIONING, point=point, device_id=device_id.lower(), transport=context.transport
        )
        verdict = self._lab.ask(occasion)
        if verdict.delay:
            await self._clock.sleep(verdict.delay)
        told = [f"fault {fault.id}: {detail}" for fault, detail in verdict.injected]
        told += self._lab.in_force(Place.PROVISIONING, device_id)
        if verdict.refusal is None:
            return replace(context, injected=tuple(told)) if told else context
        context = replace(context, injected=tuple(told[: len(verdict.injected) - 1]))
        error = InjectedError(verdict.refusal)
        shown = claim if is_api_version(claim.api_version) else replace(claim, api_version="")
        self._engine.record_refusal(shown, evidence, context, error, check=CHECK)
        return self.refuse(error, context)
