"""Who may say what, and when: every state transition of MQTT 3.1.1. It does not know which role we play.

Each side's right to speak depends on what it has said itself, with one tie: the client's CONNECT gives the server
its first word, CONNACK. A client may go on before it has the CONNACK (MQTT 3.1.4), a server may not.
"""

from enum import Enum

from homeport.proto.mqtt.packets import PacketType as T


class _Key(Enum):
    """A member is found in tables with every packet: by itself, not by its name through a function in Python."""

    __hash__ = object.__hash__


class Role(_Key):
    """One of the two sides of a connection."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def peer(self) -> "Role":
        """The other side."""
        return Role.SERVER if self is Role.CLIENT else Role.CLIENT


class State(_Key):
    """Where the conversation as a whole stands."""

    CONNECTING = "connecting"
    """No CONNECT yet."""
    ACCEPTING = "accepting"
    """CONNECT is there, CONNACK is not."""
    CONNECTED = "connected"
    """Accepted; messages flow."""
    CLOSED = "closed"
    """One side has said its last word: answer what it is owed, write what is outgoing and close the stream."""


class Voice(_Key):
    """How far one side has come in what it says."""

    WAITING = "waiting"
    OPENING = "opening"
    TALKING = "talking"
    UNSUPPORTED = "unsupported"
    DONE = "done"


_BOTH = {T.PUBLISH, T.PUBACK, T.PUBREC, T.PUBREL, T.PUBCOMP}

MAY_SAY: dict[tuple[Role, Voice], frozenset[int]] = {
    (Role.CLIENT, Voice.OPENING): frozenset({T.CONNECT}),
    (Role.CLIENT, Voice.TALKING): frozenset(_BOTH | {T.SUBSCRIBE, T.UNSUBSCRIBE, T.PINGREQ, T.DISCONNECT}),
    (Role.CLIENT, Voice.UNSUPPORTED): frozenset(),
    (Role.CLIENT, Voice.DONE): frozenset(),
    (Role.SERVER, Voice.WAITING): frozenset(),
    (Role.SERVER, Voice.OPENING): frozenset({T.CONNACK}),
    (Role.SERVER, Voice.TALKING): frozenset(_BOTH | {T.SUBACK, T.UNSUBACK, T.PINGRESP}),
    (Role.SERVER, Voice.DONE): frozenset(),
}

START: dict[Role, Voice] = {Role.CLIENT: Voice.OPENING, Role.SERVER: Voice.WAITING}

# (the side, what it says) -> the voices that change. A CONNACK that refuses ends both instead (MQTT-3.2.2-5).
CHANGES: dict[tuple[Role, int], dict[Role, Voice]] = {
    (Role.CLIENT, T.CONNECT): {Role.CLIENT: Voice.TALKING, Role.SERVER: Voice.OPENING},
    (Role.CLIENT, T.DISCONNECT): {Role.CLIENT: Voice.DONE},
    (Role.SERVER, T.CONNACK): {Role.SERVER: Voice.TALKING},
}
UNSUPPORTED: dict[Role, Voice] = {Role.CLIENT: Voice.UNSUPPORTED, Role.SERVER: Voice.OPENING}
ENDED: dict[Role, Voice] = {Role.CLIENT: Voice.DONE, Role.SERVER: Voice.DONE}


def overall(client: Voice, server: Voice) -> State:
    """Sum up the two voices."""
    if Voice.DONE in (client, server) or client is Voice.UNSUPPORTED:
        return State.CLOSED
    if client is Voice.OPENING:
        return State.CONNECTING
    return State.CONNECTED if server is Voice.TALKING else State.ACCEPTING
