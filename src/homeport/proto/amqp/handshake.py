"""What stands before AMQP proper: protocol headers (2.2) and the SASL layer (5.3), from either side."""

from typing import Any

from homeport.proto import LocalProtocolError
from homeport.proto.amqp import events as e
from homeport.proto.amqp import performatives as p
from homeport.proto.amqp.errors import AmqpProtocolError, Condition
from homeport.proto.amqp.frames import AMQP_HEADER, SASL_FRAME, SASL_HEADER, SMALLEST_MAX_FRAME, Outbox
from homeport.proto.amqp.kinds import Composite
from homeport.proto.amqp.limits import Limits
from homeport.proto.amqp.state import SASL_CHANGES, SASL_SPEAKER, Role, Sasl, SaslFrame
from homeport.proto.amqp.types import Symbol

HEADER_SIZE = 8


class Handshake:
    """Which layer the stream is in, and whose turn it is. `done` means: AMQP frames from here on, both ways."""

    def __init__(
        self, role: Role, outbox: Outbox, mechanisms: tuple[str, ...], *, sasl_optional: bool, limits: Limits
    ) -> None:
        self._role = role
        self._outbox = outbox
        self._mechanisms = tuple(map(Symbol, mechanisms))
        self._sasl_optional = sasl_optional or not mechanisms
        self._limits = limits
        self._sasl: Sasl | None = None  # None: no SASL layer (yet)
        self._header_due = True  # of the peer
        self.said = False
        """Whether we have sent the header of AMQP proper."""
        self.heard = False
        """Whether the peer has."""
        if role is Role.CLIENT:
            self._say_header(SASL_HEADER if mechanisms else AMQP_HEADER)

    @property
    def refused(self) -> bool:
        """Whether SASL has ended the connection."""
        return self._sasl is Sasl.REFUSED

    @property
    def header_due(self) -> bool:
        """Whether the peer's next bytes are a protocol header."""
        return self._header_due

    @property
    def our_turn(self) -> bool:
        """Whether SASL waits for us, so that nothing more may be read."""
        if self._header_due or self._sasl is None:
            return False
        return self._speaker() is self._role

    def _speaker(self) -> Role | None:
        """Return who is awaited in the SASL layer; None if it is over."""
        for state, frame in SASL_CHANGES:
            if state is self._sasl:
                return SASL_SPEAKER[frame]
        return None

    def hear_header(self, header: bytes) -> None:
        """Take a protocol header, or the beginning of one: what can be none is refused at once."""
        if len(header) < HEADER_SIZE:
            if not AMQP_HEADER.startswith(header[:4]):
                self._refuse_header()
            return
        sasl_over = self._sasl is Sasl.DONE
        if header == AMQP_HEADER:
            client_wants_sasl = self._role is Role.CLIENT and bool(self._mechanisms)
            if not sasl_over and (client_wants_sasl or not self._sasl_optional):
                self._refuse_header()
            self._header_due = False
            self.heard = True
            if not self.said:
                self._say_header(AMQP_HEADER)
            if not sasl_over:
                self._sasl = None
            return
        if header != SASL_HEADER or sasl_over or not self._mechanisms:
            self._refuse_header()
        self._header_due = False
        if self._role is Role.SERVER:
            self._say_header(SASL_HEADER)
        self._sasl = Sasl.MECHANISMS
        if self._role is Role.SERVER:
            self._say(SaslFrame.MECHANISMS, p.SASL_MECHANISMS, self._mechanisms)

    def _refuse_header(self) -> None:
        if self._role is Role.SERVER and not self.said:
            # The standard's way to say what we would have taken (2.2).
            self._outbox.put(SASL_HEADER if self._mechanisms else AMQP_HEADER)
        raise AmqpProtocolError("the peer's protocol header is not one that we take", Condition.FRAMING_ERROR)

    def _say_header(self, header: bytes) -> None:
        self._outbox.put(header)
        if header is AMQP_HEADER:
            self.said = True

    def hear(self, code: int, values: list[Any]) -> e.Event:
        """Take a SASL frame."""
        frame = SaslFrame(code)
        if SASL_SPEAKER[frame] is self._role or (self._sasl, frame) not in SASL_CHANGES:
            raise AmqpProtocolError("a SASL frame comes out of turn", Condition.ILLEGAL_STATE)
        assert self._sasl is not None
        self._sasl = SASL_CHANGES[self._sasl, frame]
        match frame:
            case SaslFrame.MECHANISMS:
                return e.SaslMechanisms(mechanisms=values[0])
            case SaslFrame.INIT:
                return e.SaslInit(mechanism=values[0], initial_response=values[1], hostname=values[2])
            case SaslFrame.CHALLENGE:
                return e.SaslChallenge(challenge=values[0])
            case SaslFrame.RESPONSE:
                return e.SaslResponse(response=values[0])
            case SaslFrame.OUTCOME:
                if values[0] > max(e.SaslCode):
                    raise AmqpProtocolError("a SASL outcome has an unknown code", Condition.DECODE_ERROR)
                self._decided(values[0])
                return e.SaslOutcome(code=e.SaslCode(values[0]), additional_data=values[1])

    def send(self, command: e.Sasl) -> None:
        """Say a SASL frame."""
        match command:
            case e.SaslInit():
                values = (command.mechanism, command.initial_response, command.hostname)
                self._say(SaslFrame.INIT, p.SASL_INIT, *values)
            case e.SaslChallenge():
                self._say(SaslFrame.CHALLENGE, p.SASL_CHALLENGE, command.challenge)
            case e.SaslResponse():
                self._say(SaslFrame.RESPONSE, p.SASL_RESPONSE, command.response)
            case e.SaslOutcome():
                self._say(SaslFrame.OUTCOME, p.SASL_OUTCOME, command.code, command.additional_data)
                self._decided(command.code)

    def _say(self, frame: SaslFrame, performative: Composite, *values: Any) -> None:
        if SASL_SPEAKER[frame] is not self._role or self._sasl is None or (self._sasl, frame) not in SASL_CHANGES:
            raise LocalProtocolError(f"{performative.name} is not for the {self._role.value} to say now")
        # A server keeps to the standard's size, for the C client drops larger frames (contract dps.md 5.1).
        limit = SMALLEST_MAX_FRAME if self._role is Role.SERVER else self._limits.max_sasl_frame_size
        self._outbox.put(self._outbox.frame(0, performative, values, SASL_FRAME, limit))
        self._sasl = SASL_CHANGES[self._sasl, frame]

    def _decided(self, code: int) -> None:
        if code != e.SaslCode.OK:
            self._sasl = Sasl.REFUSED
            return
        self._header_due = True
        if self._role is Role.CLIENT:
            self._say_header(AMQP_HEADER)
