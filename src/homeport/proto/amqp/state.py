"""Who may say what, and when: the transitions of AMQP 1.0's SASL layer, connection, sessions and links.

Nothing here knows which role we play, only who speaks. In AMQP proper each side's right to speak depends on what it
has said itself: both may run ahead of the other's answer (2.4.1, "pipelined open"). SASL goes in lock-step (5.3.2).
"""

from enum import Enum

from homeport.proto import LocalProtocolError
from homeport.proto.amqp.errors import AmqpProtocolError, Condition


class _Key(Enum):
    """A member is found in tables with every frame: by itself, not by its name through a function in Python."""

    __hash__ = object.__hash__


class Role(_Key):
    """One of the two sides of a connection."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def peer(self) -> "Role":
        """The other side."""
        return Role.SERVER if self is Role.CLIENT else Role.CLIENT


class LinkRole(_Key):
    """The part that we play on a link."""

    SENDER = "sender"
    RECEIVER = "receiver"


class Sasl(_Key):
    """Where the SASL layer stands; each state is named for what is awaited."""

    MECHANISMS = "mechanisms"
    INIT = "init"
    DECISION = "decision"
    """SaslChallenge or SaslOutcome of the server."""
    RESPONSE = "response"
    DONE = "done"
    REFUSED = "refused"


class SaslFrame(_Key):
    """The frames of the SASL layer by their descriptors (5.3.3)."""

    MECHANISMS = 0x40
    INIT = 0x41
    CHALLENGE = 0x42
    RESPONSE = 0x43
    OUTCOME = 0x44


# (state, frame) -> the next state. An outcome other than OK leads to REFUSED instead.
SASL_CHANGES: dict[tuple[Sasl, SaslFrame], Sasl] = {
    (Sasl.MECHANISMS, SaslFrame.MECHANISMS): Sasl.INIT,
    (Sasl.INIT, SaslFrame.INIT): Sasl.DECISION,
    (Sasl.DECISION, SaslFrame.CHALLENGE): Sasl.RESPONSE,
    (Sasl.DECISION, SaslFrame.OUTCOME): Sasl.DONE,
    (Sasl.RESPONSE, SaslFrame.RESPONSE): Sasl.DECISION,
}

SASL_SPEAKER: dict[SaslFrame, Role] = {
    SaslFrame.MECHANISMS: Role.SERVER,
    SaslFrame.INIT: Role.CLIENT,
    SaslFrame.CHALLENGE: Role.SERVER,
    SaslFrame.RESPONSE: Role.CLIENT,
    SaslFrame.OUTCOME: Role.SERVER,
}


class Voice(_Key):
    """How far one side of the connection has come in what it says."""

    START = "start"
    HEADER = "header"
    """It has sent the header of AMQP proper, and OPEN is next."""
    OPEN = "open"
    CLOSED = "closed"


class State(_Key):
    """Where a connection as a whole stands."""

    STARTING = "starting"
    """Headers and SASL."""
    OPENING = "opening"
    """At least one OPEN is missing."""
    OPEN = "open"
    CLOSED = "closed"
    """One side has said its last word: write what is outgoing and close the stream."""


def overall(one: Voice, other: Voice) -> State:
    """Sum up the two voices."""
    if Voice.CLOSED in (one, other):
        return State.CLOSED
    if Voice.START in (one, other):
        return State.STARTING
    return State.OPEN if one is other is Voice.OPEN else State.OPENING


class Standing(_Key):
    """Where a session or a link stands. BEGIN and ATTACH begin it, END and DETACH end it (2.5.5, 2.6.4)."""

    NEW = "new"
    ASKED = "asked"
    """We have begun it, the peer has not answered."""
    INVITED = "invited"
    """The peer has begun it, we have not answered."""
    OPEN = "open"
    ENDING = "ending"
    """We have ended it; what the peer still says about it is ignored until it says so, too."""
    OVER = "over"


class Word(_Key):
    """What moves a session or link, by us or by the peer."""

    WE_BEGIN = "we begin"
    PEER_BEGINS = "peer begins"
    WE_END = "we end"
    PEER_ENDS = "peer ends"


# The engine answers the peer's end at once, so PEER_ENDS leads to OVER; whatever is not listed is not allowed.
STANDINGS: dict[tuple[Standing, Word], Standing] = {
    (Standing.NEW, Word.WE_BEGIN): Standing.ASKED,
    (Standing.NEW, Word.PEER_BEGINS): Standing.INVITED,
    (Standing.ASKED, Word.PEER_BEGINS): Standing.OPEN,
    (Standing.ASKED, Word.WE_END): Standing.ENDING,
    (Standing.INVITED, Word.WE_BEGIN): Standing.OPEN,
    (Standing.INVITED, Word.PEER_ENDS): Standing.OVER,
    (Standing.OPEN, Word.WE_END): Standing.ENDING,
    (Standing.OPEN, Word.PEER_ENDS): Standing.OVER,
    (Standing.ENDING, Word.PEER_BEGINS): Standing.ENDING,
    (Standing.ENDING, Word.PEER_ENDS): Standing.OVER,
}

ENDED = frozenset({Standing.ENDING, Standing.OVER})
"""Nothing more is to be said about what stands here."""


def moved(standing: Standing, word: Word, what: str) -> Standing:
    """Return where our word leads. Raises LocalProtocolError if it may not be said."""
    after = STANDINGS.get((standing, word))
    if after is None:
        raise LocalProtocolError(f"{what} is {standing.value}: it is not for us to say so now")
    return after


def heard(standing: Standing, word: Word) -> Standing:
    """Return where the peer's word leads. Raises AmqpProtocolError if it may not say so."""
    after = STANDINGS.get((standing, word))
    if after is None:
        raise AmqpProtocolError("this may not be said now", Condition.NOT_ALLOWED)
    return after
