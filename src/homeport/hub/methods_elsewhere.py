"""Direct methods of devices that are connected to another process: asked for there, answered here.

A call is given to one process, once: whether a device acted on it that did not answer is as unknown as it always is.
"""

import asyncio

import msgspec

from homeport.hub.errors import HubCode, HubError
from homeport.hub.methods import MethodAnswer, Methods
from homeport.peers import PeerGoneError, Peers
from homeport.wire import peers as wire

AGAIN_SECONDS = 0.5
"""How often others are asked again for a device that a caller waits for."""
MARGIN_SECONDS = 2.0
"""What an answer may take beyond the device's own time, before it counts as lost."""

_CODES = {code.wire_name: code for code in HubCode}


class MethodsElsewhere:
    """Calls to the devices of one hub, whichever process they are connected to."""

    def __init__(self, *, hub: str, here: Methods, peers: Peers) -> None:
        self._here = here
        self._peers = peers
        self._topic = f"methods-{hub}"
        peers.serve(self._topic, knows=here.is_listening, answers=self._answer)

    async def call(
        self, device_id: str, name: str, payload: bytes, *, connect_timeout: float, response_timeout: float
    ) -> MethodAnswer:
        """Call a method and return the answer; as `Methods.call`, for all processes."""
        if not self._peers.node:
            return await self._here.call(
                device_id, name, payload, connect_timeout=connect_timeout, response_timeout=response_timeout
            )
        question = wire.MethodQuestion(
            device_id=device_id, name=name, payload=payload, response_timeout=response_timeout
        )
        loop = asyncio.get_running_loop()
        until = loop.time() + connect_timeout
        while True:
            # A device that is here, or comes here while its turn to be looked for elsewhere has not come.
            left = max(0.0, min(until - loop.time(), AGAIN_SECONDS))
            if self._here.is_listening(device_id) or (answer := await self._there(question)) is None:
                try:
                    return await self._here.call(
                        device_id, name, payload, connect_timeout=left, response_timeout=response_timeout
                    )
                except HubError as error:
                    if error.code is not HubCode.DEVICE_NOT_ONLINE or loop.time() >= until:
                        raise
                    continue
            return answer

    async def _there(self, question: wire.MethodQuestion) -> MethodAnswer | None:
        """Have another process make the call; None if none has the device."""
        node = await self._peers.find(self._topic, question.device_id)
        if node is None:
            return None
        seconds = question.response_timeout + MARGIN_SECONDS
        try:
            answer = await self._peers.ask(node, self._topic, wire.encoder.encode(question), seconds=seconds)
            outcome = wire.outcome_decoder.decode(answer)
        except PeerGoneError:
            raise HubError(
                HubCode.DEVICE_CONNECTION_CLOSED, "The process that held the device's connection ended."
            ) from None
        except TimeoutError:
            raise HubError(
                HubCode.GATEWAY_TIMEOUT, f"The device did not answer within {question.response_timeout:g} s."
            ) from None
        except msgspec.MsgspecError:
            raise HubError(HubCode.SERVER_ERROR, "Another process answered what this one cannot read.") from None
        if outcome.error is None:
            return MethodAnswer(status=outcome.status, payload=outcome.payload)
        code = _CODES.get(outcome.error, HubCode.SERVER_ERROR)
        if code is HubCode.DEVICE_NOT_ONLINE:
            return None  # it left between the two questions
        raise HubError(code, outcome.message)

    async def _answer(self, asked: bytes) -> bytes:
        try:
            question = wire.question_decoder.decode(asked)
        except msgspec.MsgspecError:
            error = HubError(HubCode.SERVER_ERROR, "Another process asked what this one cannot read.")
            return wire.encoder.encode(_fault(error))
        try:
            answer = await self._here.call(
                question.device_id,
                question.name,
                question.payload,
                connect_timeout=0,
                response_timeout=question.response_timeout,
            )
        except HubError as error:
            return wire.encoder.encode(_fault(error))
        return wire.encoder.encode(wire.MethodOutcome(status=answer.status, payload=answer.payload))


def _fault(error: HubError) -> wire.MethodOutcome:
    return wire.MethodOutcome(error=error.code.wire_name, message=error.message)
