"""Headers, SASL, OPEN and CLOSE: who may say what, and when."""

from collections.abc import Iterator

import pytest

from homeport.proto.amqp import (
    AmqpProtocolError,
    Begin,
    Close,
    Closed,
    Command,
    Condition,
    Connection,
    Error,
    LocalProtocolError,
    Open,
    Opened,
    PlainCredentials,
    Role,
    SaslChallenge,
    SaslCode,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslResponse,
    Scope,
    State,
    parse_plain,
    plain,
)
from homeport.proto.amqp.state import SASL_CHANGES, SASL_SPEAKER, STANDINGS, Sasl, Standing, Voice, Word, overall
from tests.proto.amqp.pair import Pair, kinds, only, opened, pair

AMQP = b"AMQP\x00\x01\x00\x00"
SASL = b"AMQP\x03\x01\x00\x00"


def sasl_pair(*mechanisms: str) -> Pair:
    return Pair(
        Connection(Role.CLIENT, container_id="c", mechanisms=mechanisms),
        Connection(Role.SERVER, container_id="s", mechanisms=mechanisms),
    )


# --- SASL -------------------------------------------------------------------------------------------------------------


def test_plain() -> None:
    both = sasl_pair("PLAIN")
    heard, _ = both.pump()
    assert heard == [SaslMechanisms(mechanisms=("PLAIN",))]  # type: ignore[arg-type]  # symbols are strings
    credentials = PlainCredentials(authentication_id="scope/registrations/d", password="SharedAccessSignature …")
    both.client.send(SaslInit(mechanism="PLAIN", initial_response=plain(credentials)))
    _, heard = both.pump()
    init = only(heard, SaslInit)
    assert parse_plain(init.initial_response) == credentials
    both.server.send(SaslOutcome(code=SaslCode.OK))
    heard, _ = both.pump()
    assert heard == [SaslOutcome(code=SaslCode.OK)]
    both.client.send(Open())
    _, heard = both.pump()
    assert kinds(heard) == ["Opened"]


def test_rounds_of_the_tpm_mechanism() -> None:
    """Three challenges, the first of one byte, segments of 471 bytes (contract dps.md 5.2)."""
    both = sasl_pair("PLAIN", "TPM")
    both.pump()
    both.client.send(SaslInit(mechanism="TPM", initial_response=b"\0scope\0reg\0" + bytes(316), hostname="h"))
    for challenge, response in (
        (b"\0", b"\0" + bytes(284)),
        (b"\x80" + bytes(470), b"\0"),
        (b"\xc1" + bytes(450), b"\0token"),
    ):
        both.pump()
        both.server.send(SaslChallenge(challenge=challenge))
        heard, _ = both.pump()
        assert heard == [SaslChallenge(challenge=challenge)]
        both.client.send(SaslResponse(response=response))
        _, heard = both.pump()
        assert heard == [SaslResponse(response=response)]
    both.server.send(SaslOutcome(code=SaslCode.OK))
    both.client.receive(both.server.outgoing())
    both.client.send(Open())
    _, heard = both.pump()
    assert kinds(heard) == ["Opened"]


def test_servers_send_no_sasl_frame_above_512_bytes() -> None:
    both = sasl_pair("TPM")
    both.pump()
    both.client.send(SaslInit(mechanism="TPM", initial_response=bytes(4000)))
    _, heard = both.pump()
    assert only(heard, SaslInit).initial_response == bytes(4000)
    with pytest.raises(LocalProtocolError):
        both.server.send(SaslChallenge(challenge=bytes(500)))
    both.server.send(SaslChallenge(challenge=bytes(487)))
    assert len(both.server.outgoing()) <= 512


@pytest.mark.parametrize("code", [code for code in SaslCode if code is not SaslCode.OK])
def test_refused(code: SaslCode) -> None:
    both = sasl_pair("PLAIN")
    both.pump()
    both.client.send(SaslInit(mechanism="PLAIN"))
    both.pump()
    both.server.send(SaslOutcome(code=code, additional_data=b"why"))
    assert both.server.state is State.CLOSED
    heard, _ = both.pump()
    assert heard == [SaslOutcome(code=code, additional_data=b"why")]
    assert both.client.state is State.CLOSED
    assert both.server.receive(AMQP) == []
    assert both.server.outgoing() == b""


def test_a_client_may_go_on_before_the_outcome() -> None:
    """As proton does: what it has said is kept until SASL is decided."""
    both = sasl_pair("ANONYMOUS")
    both.pump()
    both.client.send(SaslInit(mechanism="ANONYMOUS"))
    rest = AMQP + opened_bytes()
    assert kinds(both.server.receive(both.client.outgoing() + rest[:11])) == ["SaslInit"]
    assert both.server.receive(rest[11:]) == []
    held = [both.server.held]
    both.server.send(SaslOutcome(code=SaslCode.OK))
    held.append(both.server.held)
    assert kinds(both.server.receive(b"")) == ["Opened"]
    held.append(both.server.held)
    assert held == [False, True, False]


def opened_bytes() -> bytes:
    client = Connection(Role.CLIENT, container_id="c")
    client.send(Open())
    return client.outgoing().removeprefix(AMQP)


def test_a_client_that_says_too_much_before_the_outcome() -> None:
    both = sasl_pair("ANONYMOUS")
    both.pump()
    both.client.send(SaslInit(mechanism="ANONYMOUS"))
    both.server.receive(both.client.outgoing())
    for _ in range(6):
        assert both.server.receive(bytes(10_000)) == []
    with pytest.raises(AmqpProtocolError):
        both.server.receive(bytes(10_000))
    assert len(both.server._buffer) == 0


SASL_COMMANDS: dict[str, Command] = {
    "init": SaslInit(mechanism="X"),
    "challenge": SaslChallenge(challenge=b"?"),
    "response": SaslResponse(response=b"!"),
    "outcome": SaslOutcome(code=SaslCode.OK),
}


def stages() -> Iterator[tuple[str, Pair]]:
    """Pairs in each state of SASL that one can stop at."""
    both = sasl_pair("X")
    yield "mechanisms", both
    both = sasl_pair("X")
    both.pump()
    yield "init", both
    both = sasl_pair("X")
    both.pump()
    both.client.send(SASL_COMMANDS["init"])
    both.pump()
    yield "decision", both
    both = sasl_pair("X")
    both.pump()
    both.client.send(SASL_COMMANDS["init"])
    both.pump()
    both.server.send(SASL_COMMANDS["challenge"])
    both.pump()
    yield "response", both


@pytest.mark.parametrize("stage", [state.value for state in Sasl if state not in {Sasl.DONE, Sasl.REFUSED}])
@pytest.mark.parametrize("role", Role)
def test_sasl_in_lockstep(stage: str, role: Role) -> None:
    both = dict(stages())[stage]
    engine = both.client if role is Role.CLIENT else both.server
    allowed = {
        frame.name.lower()
        for (state, frame) in SASL_CHANGES
        if state.value == stage and SASL_SPEAKER[frame] is role and stage != "mechanisms"
    }
    for name, command in SASL_COMMANDS.items():
        if name not in allowed:
            with pytest.raises(LocalProtocolError):
                engine.send(command)
    with pytest.raises(LocalProtocolError):
        engine.send(Open())
    for name in sorted(allowed)[:1]:
        engine.send(SASL_COMMANDS[name])
        assert engine.outgoing()


def test_sasl_frames_out_of_turn() -> None:
    server = Connection(Role.SERVER, container_id="s", mechanisms=("X",))
    client = sasl_pair("X").client
    other = sasl_pair("X")
    other.pump()
    other.client.send(SaslInit(mechanism="X"))
    init = other.client.outgoing()
    server.receive(SASL)
    with pytest.raises(AmqpProtocolError) as refused:
        server.receive(init[:9] + init[9:].replace(b"\x53\x41", b"\x53\x44"))  # an outcome from the client
    assert refused.value.scope is Scope.CONNECTION
    with pytest.raises(AmqpProtocolError):
        client.receive(SASL + init)


@pytest.mark.parametrize(
    "response", [None, b"", b"user", b"\0user", b"\0\0password", b"a\0b\0c\0d", b"\0user\0\xff"], ids=repr
)
def test_what_is_no_plain_response(response: bytes | None) -> None:
    assert parse_plain(response) is None


def test_plain_cannot_write_nul() -> None:
    with pytest.raises(LocalProtocolError):
        plain(PlainCredentials(authentication_id="a\0b", password=""))


def test_secrets_are_not_printed() -> None:
    said = [
        PlainCredentials(authentication_id="a", password="sesame"),
        SaslInit(mechanism="PLAIN", initial_response=b"sesame"),
        SaslResponse(response=b"sesame"),
        SaslChallenge(challenge=b"sesame"),
        SaslOutcome(code=SaslCode.OK, additional_data=b"sesame"),
    ]
    assert "sesame" not in repr(said)


# --- headers ----------------------------------------------------------------------------------------------------------


def test_a_bare_header_is_as_good_as_sasl() -> None:
    server = Connection(Role.SERVER, container_id="s", mechanisms=("PLAIN", "TPM"))
    assert kinds(server.receive(AMQP + opened_bytes())) == ["Opened"]
    assert server.outgoing() == AMQP


@pytest.mark.parametrize(
    ("header", "mechanisms", "sasl_optional", "answer"),
    [
        (AMQP, ("PLAIN",), False, SASL),
        (SASL, (), True, AMQP),
        (b"AMQP\x02\x01\x00\x00", ("PLAIN",), True, SASL),
        (b"AMQP\x00\x00\x09\x01", (), True, AMQP),
        (b"GET / HTTP/1.1\r\n", ("PLAIN",), True, SASL),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", (), True, AMQP),
        (b"X", (), True, AMQP),
    ],
)
def test_headers_that_are_refused(
    header: bytes, mechanisms: tuple[str, ...], sasl_optional: bool, answer: bytes
) -> None:
    """The server says which header it would have taken, and is done (2.2)."""
    server = Connection(Role.SERVER, container_id="s", mechanisms=mechanisms, sasl_optional=sasl_optional)
    with pytest.raises(AmqpProtocolError):
        server.receive(header)
    assert server.outgoing() == answer
    assert server.state is State.CLOSED
    with pytest.raises(AmqpProtocolError):
        server.receive(b"")


def test_client_wants_the_layer_it_began_with() -> None:
    with pytest.raises(AmqpProtocolError):
        Connection(Role.CLIENT, container_id="c", mechanisms=("PLAIN",)).receive(AMQP)
    with pytest.raises(AmqpProtocolError):
        Connection(Role.CLIENT, container_id="c").receive(SASL)


# --- OPEN and CLOSE ---------------------------------------------------------------------------------------------------


def test_open_says_the_limits() -> None:
    both = pair()
    both.client.send(Open(hostname="host", properties={"product": "test"}))
    _, heard = both.pump()
    event = only(heard, Opened)
    assert (event.container_id, event.hostname, event.properties) == ("client", "host", {"product": "test"})
    assert (event.max_frame_size, event.channel_max, event.idle_time_out) == (65536, 255, 240)
    assert {both.client.state, both.server.state} == {State.OPENING}
    both.server.send(Open())
    both.pump()
    assert {both.client.state, both.server.state} == {State.OPEN}


def test_refused_with_open_and_close() -> None:
    """As the hosted service refuses a device with a certificate (contract dps.md 5.1)."""
    both = pair()
    both.client.send(Open())
    both.client.send(Begin(session=both.client.new_session()))
    both.pump()
    error = Error(condition=Condition.UNAUTHORIZED_ACCESS, description='{"errorCode":401002}' * 40, info={})
    both.server.send(Open(properties={"com.microsoft:open-error": "…"}))
    both.server.send(Close(error=error))
    heard, _ = both.pump()
    assert kinds(heard) == ["Opened", "Closed"]
    assert only(heard, Closed).error == error
    assert both.client.state is both.server.state is State.CLOSED


def test_close_is_answered() -> None:
    both = opened()
    both.client.send(Close())
    assert both.client.state is State.CLOSED
    heard, told = both.pump()
    assert kinds(heard) == kinds(told) == ["Closed"]
    assert both.server.state is State.CLOSED


def test_close_at_any_time() -> None:
    for both in (pair(), opened()):
        both.client.close()
        assert both.client.state is State.CLOSED
        assert both.client.receive(b"AMQP") == []
    both = opened()
    both.client.close()
    heard, told = both.pump()
    assert kinds(heard) == kinds(told) == ["Closed"]
    both = pair()
    both.client.send(Open())
    both.server.receive(both.client.outgoing())
    both.server.close(Error(condition="amqp:connection:forced", description="x" * 10_000))
    both.carry(both.server, both.client, both.heard_by_client)
    assert kinds(both.heard_by_client) == ["Opened", "Closed"]
    assert only(both.heard_by_client, Closed).error.condition == "amqp:connection:forced"


def test_what_may_not_be_said_before_open() -> None:
    both = pair()
    for command in (Begin(session=both.client.new_session()), Close()):
        with pytest.raises(LocalProtocolError):
            both.client.send(command)
    with pytest.raises(LocalProtocolError):
        both.server.send(Open())  # the server waits for the client's header
    both.client.send(Open())
    with pytest.raises(LocalProtocolError):
        both.client.send(Open())


def test_nothing_is_queued_when_it_cannot_be_written() -> None:
    both = opened()
    both.pump()
    for command in (
        Close(error=Error(condition="ä")),
        Close(error=Error(condition="x", description="y" * 70_000)),
        Close(error="no error"),  # type: ignore[arg-type]
        Begin(session=both.client.new_session(), properties={"x": object()}),
    ):
        with pytest.raises(LocalProtocolError):
            both.client.send(command)
        assert both.client.outgoing() == b""
    assert both.client.state is State.OPEN


def test_commands_after_the_end_are_dropped() -> None:
    both = opened()
    both.client.send(Close())
    both.pump()
    both.server.send(Begin(session=both.server.new_session()))
    both.server.send(Close())
    assert both.server.outgoing() == b""


def test_container_ids_fit_into_the_first_frame() -> None:
    with pytest.raises(ValueError, match="256"):
        Connection(Role.SERVER, container_id="x" * 257)


# --- the tables -------------------------------------------------------------------------------------------------------


def test_every_word_about_a_session_or_link_leads_towards_its_end() -> None:
    order = [Standing.NEW, Standing.ASKED, Standing.INVITED, Standing.OPEN, Standing.ENDING, Standing.OVER]
    for (before, word), after in STANDINGS.items():
        assert order.index(after) > order.index(before) or (before, word) == (Standing.ENDING, Word.PEER_BEGINS)
    assert {after for (before, _), after in STANDINGS.items() if before is Standing.OVER} == set()


def test_states_of_a_connection() -> None:
    for one in Voice:
        for other in Voice:
            assert overall(one, other) is overall(other, one)
    assert overall(Voice.OPEN, Voice.OPEN) is State.OPEN
    assert overall(Voice.OPEN, Voice.CLOSED) is State.CLOSED
    assert overall(Voice.HEADER, Voice.START) is State.STARTING
    assert overall(Voice.HEADER, Voice.OPEN) is State.OPENING
