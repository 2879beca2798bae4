"""What a device says to register over AMQP, in as few flights as the protocol allows (contract dps.md 5)."""

import json
import time
from collections.abc import Generator

from bench.conversations import UnexpectedAnswerError
from bench.devices import API_VERSION, Device, device_token
from bench.link import Link, Steps
from bench.tpm import Chip
from homeport.client.amqp_messages import EMPTY, TPM, hello, is_last
from homeport.proto.amqp import (
    PLAIN,
    Attach,
    Begin,
    Close,
    Closed,
    Connection,
    Data,
    Delivery,
    Event,
    Flow,
    LinkRole,
    Message,
    Open,
    PlainCredentials,
    Role,
    SaslChallenge,
    SaslCode,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslResponse,
    Source,
    Target,
    Transfer,
    decode_message,
    encode_message,
    plain,
)

_PROPERTIES = {"com.microsoft:api-version": API_VERSION}
_REGISTER = {"iotdps-operation-type": "iotdps-register"}


def register_amqp(link: Link, device: Device, id_scope: str) -> Steps:
    """Register on a connection of its own: SASL TPM with a TPM, PLAIN with a token, none with a certificate."""
    address = f"{id_scope}/registrations/{device.name}"
    mechanisms = (TPM,) if device.chip else (PLAIN,) if device.token else ()
    engine = Connection(Role.CLIENT, container_id=device.name, mechanisms=mechanisms)
    talk = Talk(link, engine)
    yield from link.open()
    if device.chip:
        yield from talk.say()
        yield from _prove(talk, device, device.chip, id_scope)
    elif device.token:
        yield from talk.say()
        yield from talk.until(SaslMechanisms)
        credentials = PlainCredentials(authentication_id=address, password=device.token)
        yield from talk.say(SaslInit(mechanism=PLAIN, initial_response=plain(credentials)))
        outcome = yield from talk.until(SaslOutcome)
        assert isinstance(outcome, SaslOutcome)
        if outcome.code is not SaslCode.OK:
            raise UnexpectedAnswerError(f"SASL outcome {outcome.code:d}")
    session = engine.new_session()
    receiver = engine.new_link(session, "answers", LinkRole.RECEIVER)
    sender = engine.new_link(session, "requests", LinkRole.SENDER)
    yield from talk.say(
        Open(hostname="bench"),
        Begin(session=session),
        Attach(link=receiver, source=Source(address=address), target=Target(), properties=_PROPERTIES),
        Flow(link=receiver, credit=2),
        Attach(link=sender, source=Source(), target=Target(address=address), properties=_PROPERTIES),
    )
    while not sender.credit:
        yield from talk.hear()
    body = Data((json.dumps({"registrationId": device.name}).encode(),))
    request = Message(application_properties=_REGISTER, body=body)
    yield from talk.say(Transfer(link=sender, data=encode_message(request)))
    answer = yield from talk.until(Delivery)
    link.answered = time.perf_counter()
    assert isinstance(answer, Delivery)
    said = decode_message(answer.data).data or b""
    if b'"status":"assigned"' not in said:
        raise UnexpectedAnswerError(said.decode(errors="replace"))
    yield from talk.say(Close())
    yield from talk.until(Closed)
    yield from link.close()


def _prove(talk: "Talk", device: Device, chip: Chip, id_scope: str) -> Steps:
    """Show the keys, import the challenge and say what was signed with it (contract dps.md 5.2)."""
    yield from talk.until(SaslMechanisms)
    yield from talk.say(SaslInit(mechanism=TPM, initial_response=hello(id_scope, device.name, chip.keys)))
    yield from talk.until(SaslChallenge)
    blob, answer = b"", EMPTY + chip.keys.storage_root_key
    while True:
        yield from talk.say(SaslResponse(response=answer))
        segment = yield from talk.until(SaslChallenge)
        assert isinstance(segment, SaslChallenge)
        blob += segment.challenge[1:]
        if is_last(segment.challenge):
            break
        answer = EMPTY
    token = device_token(id_scope, device.name, chip.import_key(blob))
    yield from talk.say(SaslResponse(response=EMPTY + token.encode()))
    outcome = yield from talk.until(SaslOutcome)
    assert isinstance(outcome, SaslOutcome)
    if outcome.code is not SaslCode.OK:
        raise UnexpectedAnswerError(f"SASL outcome {outcome.code:d}")


class Talk:
    """The engine and the link it speaks on."""

    __slots__ = ("_engine", "_events", "_link")

    def __init__(self, link: Link, engine: Connection) -> None:
        self._link = link
        self._engine = engine
        self._events: list[Event] = []

    def say(self, *commands: Open | Begin | Attach | Flow | Transfer | Close | SaslInit | SaslResponse) -> Steps:
        for command in commands:
            self._engine.send(command)
        if data := self._engine.outgoing():
            yield from self._link.send(data)

    def hear(self) -> Generator[int, None, Event]:
        """Return the next thing the server says. Raises UnexpectedAnswerError if that is an end with an error."""
        while not self._events:
            data = yield from self._link.receive()
            self._events += self._engine.receive(data)
        event = self._events.pop(0)
        error = getattr(event, "error", None)
        if error is not None:
            raise UnexpectedAnswerError(f"{error.condition} {error.description}")
        return event

    def until(self, kind: type[Event]) -> Generator[int, None, Event]:
        """Pass over everything else."""
        while True:
            event = yield from self.hear()
            if isinstance(event, kind):
                return event
