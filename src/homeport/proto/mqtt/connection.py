"""One MQTT 3.1.1 connection, seen from either side. Streams, stored sessions and what topics mean live elsewhere."""

from math import inf
from typing import NoReturn

from homeport.proto import LocalProtocolError, RemoteProtocolError
from homeport.proto.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Event,
    Packet,
    PacketType,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    ReturnCode,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    UnsupportedProtocol,
)
from homeport.proto.mqtt.reader import decode_body, read_header
from homeport.proto.mqtt.state import CHANGES, ENDED, MAY_SAY, START, UNSUPPORTED, Role, State, Voice, overall
from homeport.proto.mqtt.writer import encode
from homeport.values import replace

DEFAULT_MAX_PACKET_SIZE = (256 + 64) * 1024 + 16
"""A message of 256 KiB (contract hub.md 13.4) under the longest topic MQTT can write."""

DEFAULT_MAX_CONNECT_SIZE = 16 * 1024
"""A stranger's first packet: ids and a token, no firmware. A hub that takes large wills must raise it."""

_SERVER_PATIENCE = 1.5  # MQTT-3.1.2-24
_MAX_PACKET_ID = 0xFFFF


class KeepAliveError(RemoteProtocolError):
    """The peer has been silent for longer than the keep-alive allows. Raised by `tick` only."""


class Connection:
    """The state of one connection; the caller moves the bytes and tells the time.

    The loop around it, in either role: read the stream and pass the bytes to `receive`; answer each event, in
    order, with `send`; write `outgoing()`; call `tick`; wait for more bytes or for the deadline that `tick` named.

    Faults of the peer raise RemoteProtocolError. Good packets that came before the fault are not lost: `receive`
    returns them first, and the fault is raised by the next call of `receive` or `tick`, whichever comes first
    (`receive` raises at once if no good packet came with it). In between, the good packets can be answered as if
    nothing had happened. After the error the state is CLOSED; `outgoing()` still holds what was sent before.

    PINGREQ, PINGRESP and acknowledgements of nothing we sent are dealt with here and never returned as events.
    The CONNECT time limit is the caller's: `tick` says nothing before the connection is accepted.

    QoS 2 from the peer arrives as events (PUBLISH, PUBREL) which the caller may answer or close upon; we never
    send it.
    """

    def __init__(
        self,
        role: Role,
        *,
        max_packet_size: int = DEFAULT_MAX_PACKET_SIZE,
        max_connect_size: int = DEFAULT_MAX_CONNECT_SIZE,
        max_silence: float = inf,
    ) -> None:
        """Begin a connection in which we play `role`.

        `max_packet_size` and `max_connect_size` bound what the peer may send, in bytes of the whole packet; the
        second is for CONNECT. Both are checked before any of the body is kept. `max_silence`, in seconds, caps
        a server's wait for the client; it also holds when the client's keep-alive is 0 (contract hub.md 13.11).
        """
        self._role = role
        self._max_packet_size = max_packet_size
        self._max_connect_size = max_connect_size
        self._max_silence = max_silence

        self._voices = START.copy()
        self._turn({})
        self._fault: RemoteProtocolError | None = None

        self._buffer = bytearray()  # the start of one packet, never a whole one
        self._wanted = 0  # bytes the buffer must hold before it is worth another look
        self._out: list[bytes] = []

        self._clean_session = True
        self._owed_pings = 0  # PINGREQs that came before our CONNACK
        self._last_id = 0
        self._in_flight: dict[int, tuple[PacketType, int]] = {}  # the answer awaited, and its number of codes

        self._silence = inf  # seconds without traffic that make `tick` act, in either role
        self._heard = self._spoke = False  # since the last tick
        self._heard_at = self._spoke_at = 0.0
        self._pinged = False

    @property
    def state(self) -> State:
        """Where the conversation stands. It may be ahead of the events not yet looked at: DISCONNECT closes it."""
        return self._state

    @property
    def in_flight(self) -> int:
        """How many of our packets await their acknowledgement."""
        return len(self._in_flight)

    # --- listening ----------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take what the stream brought; return the packets that it completes, in order.

        Raises RemoteProtocolError as the class describes. What comes after the last word of either side is ignored.
        """
        if self._fault is not None:
            self._break_off(self._fault)
        if self.state is State.CLOSED:
            return []
        if not data:
            return []
        self._heard = True
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._wanted:
                return []
            data = bytes(buffer)
            buffer.clear()
        events: list[Event] = []
        try:
            self._read_packets(data, events)
        except RemoteProtocolError as fault:
            self._fault = fault.with_traceback(None)
            if not events:
                self._break_off(fault)
        return events

    def _read_packets(self, data: bytes, events: list[Event]) -> None:
        offset, size = 0, len(data)
        while offset < size:
            first = data[offset]
            kind = first >> 4
            if kind not in self._may_come:
                if self.state is State.CLOSED:
                    return
                raise RemoteProtocolError(f"{_name(kind)} is not the {self._role.peer.value}'s to say now")
            header = read_header(data, offset)
            if header is None:
                self._wanted = size - offset + 1
                break
            length, start = header
            end = start + length
            limit = self._max_connect_size if kind == PacketType.CONNECT else self._max_packet_size
            if end - offset > limit:
                raise RemoteProtocolError(f"{_name(kind)} is larger than {limit} bytes")
            if end > size:
                self._wanted = end - offset
                break
            event = decode_body(first, data, start, end)
            if type(event) is Publish or self._heed(event):
                events.append(event)
            offset = end
        self._buffer += data[offset:]

    def _heed(self, event: Event) -> bool:
        """Draw the conclusions from a packet other than PUBLISH; tell whether the caller should see it."""
        match event:
            case PubAck():
                # No fault when unknown: a client may still answer what an earlier connection sent.
                return self._settle(event.packet_id, PacketType.PUBACK) is not None
            case PingReq():
                if PacketType.PINGRESP in self._may_send:
                    self._out.append(encode(PingResp()))
                else:
                    self._owed_pings += 1
                return False
            case PingResp():
                return False
            case UnsupportedProtocol():
                self._turn(UNSUPPORTED)
                return True
            case Connect():
                self._clean_session = event.clean_session
                patience = event.keep_alive * _SERVER_PATIENCE or inf
                self._silence = min(patience, self._max_silence)
            case ConnAck():
                if event.session_present and self._clean_session:
                    raise RemoteProtocolError("CONNACK has a session though a clean one was asked for")
            case SubAck():
                if self._settle(event.packet_id, PacketType.SUBACK) != len(event.return_codes):
                    raise RemoteProtocolError("SUBACK does not answer a SUBSCRIBE of ours")
            case UnsubAck():
                if self._settle(event.packet_id, PacketType.UNSUBACK) is None:
                    raise RemoteProtocolError("UNSUBACK does not answer an UNSUBSCRIBE of ours")
            case PubRec() | PubComp():
                raise RemoteProtocolError(f"{event.type.name} without a QoS 2 message of ours")
            case _:
                pass
        self._follow(self._role.peer, event)
        return True

    def _settle(self, packet_id: int, answer: PacketType) -> int | None:
        """Strike an awaited answer off; return how many return codes it should have, None if it is not awaited."""
        awaited = self._in_flight.get(packet_id)
        if awaited is None or awaited[0] is not answer:
            return None
        del self._in_flight[packet_id]
        return awaited[1]

    # --- speaking -----------------------------------------------------------------------------------------------

    def send(self, packet: Packet) -> int | None:
        """Queue one packet for `outgoing`; return the packet id if it awaits an acknowledgement, else None.

        For PUBLISH with QoS 1, SUBSCRIBE and UNSUBSCRIBE a `packet_id` of None means the next free one. A PUBLISH
        with DUP may repeat an id that is in flight. Raises LocalProtocolError, with nothing queued, if the packet
        may not be said now, is malformed, has QoS 2, or if all packet ids are in flight.
        """
        if packet.type not in self._may_send:
            raise LocalProtocolError(f"{packet.type.name} is not the {self._role.value}'s to say now")
        match packet:
            case PubAck():
                self._out.append(encode(packet))
                self._spoke = True
                return None
            case Publish(qos=0):
                self._out.append(encode(packet))
                self._spoke = True
                return None
            case Publish(qos=1):
                return self._send_awaiting(packet, PacketType.PUBACK, 0)
            case Publish():
                raise LocalProtocolError("we do not send QoS 2")
            case Subscribe():
                return self._send_awaiting(packet, PacketType.SUBACK, len(packet.subscriptions))
            case Unsubscribe():
                return self._send_awaiting(packet, PacketType.UNSUBACK, 0)
            case ConnAck():
                self._check_answer(packet)
            case _:
                pass
        self._out.append(encode(packet))
        self._spoke = True
        if isinstance(packet, Connect):
            self._clean_session = packet.clean_session
            self._silence = packet.keep_alive or inf
        self._follow(self._role, packet)
        return None

    def _send_awaiting(self, packet: Publish | Subscribe | Unsubscribe, answer: PacketType, codes: int) -> int:
        packet_id = packet.packet_id
        if packet_id is None:
            packet_id = self._free_id()
            packet = replace(packet, packet_id=packet_id)
        elif packet_id in self._in_flight and not (isinstance(packet, Publish) and packet.dup):
            raise LocalProtocolError(f"packet id {packet_id} is in flight")
        self._out.append(encode(packet))
        self._spoke = True
        self._in_flight[packet_id] = (answer, codes)
        return packet_id

    def _free_id(self) -> int:
        if len(self._in_flight) >= _MAX_PACKET_ID:
            raise LocalProtocolError("all packet ids are in flight")
        packet_id = self._last_id
        while True:
            packet_id = packet_id % _MAX_PACKET_ID + 1
            if packet_id not in self._in_flight:
                self._last_id = packet_id
                return packet_id

    def _check_answer(self, packet: ConnAck) -> None:
        if packet.session_present and self._clean_session:
            raise LocalProtocolError("the client asked for a clean session, so none can be present")
        unsupported = self._voices[Role.CLIENT] is Voice.UNSUPPORTED
        if unsupported and packet.return_code != ReturnCode.UNACCEPTABLE_PROTOCOL_LEVEL:
            raise LocalProtocolError("another MQTT version can only be refused for its level")

    def outgoing(self) -> bytes:
        """Return what is to be written now, and forget it."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def close(self) -> None:
        """End in order: a connected client says DISCONNECT, a server has no word for it. `outgoing` is kept."""
        if PacketType.DISCONNECT in self._may_send:
            self._out.append(encode(Disconnect()))
        self._fault = None
        self._end()

    # --- time ---------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> float | None:
        """Learn the time; return when to call again at the latest, None for no such time.

        `now` is in seconds of any steady clock, the result is on the same clock. Call it after each `receive` and
        at the time returned: bytes count as heard at the first tick after them. A client puts PINGREQ into
        `outgoing` after a keep-alive without traffic in either direction. Raises KeepAliveError when a client has
        been silent for 1.5 times its keep-alive or `max_silence`, or when a server leaves a PINGREQ unanswered for
        a whole keep-alive; also raises the fault that `receive` has kept back.
        """
        if self._fault is not None:
            self._break_off(self._fault)
        if self._heard:
            self._heard = self._pinged = False
            self._heard_at = now
        if self._spoke:
            self._spoke = False
            self._spoke_at = now
        if self._silence == inf or self.state is not State.CONNECTED:
            return None
        if self._role is Role.SERVER:
            due = self._heard_at + self._silence
        elif self._pinged:
            due = self._spoke_at + self._silence
        else:
            due = min(self._heard_at, self._spoke_at) + self._silence
        if now < due:
            return due
        if self._role is Role.SERVER or self._pinged:
            self._fault = KeepAliveError(f"the {self._role.peer.value} is silent")
            self._break_off(self._fault)
        self._out.append(encode(PingReq()))
        self._pinged = True
        self._spoke_at = now
        return now + self._silence

    # --- state --------------------------------------------------------------------------------------------------

    def _follow(self, speaker: Role, packet: Event) -> None:
        """Move on after what `speaker` said, ourselves included."""
        if isinstance(packet, ConnAck) and packet.return_code != ReturnCode.ACCEPTED:
            self._end()
            return
        changes = CHANGES.get((speaker, packet.type))
        if changes is None:
            return
        self._turn(changes)
        if isinstance(packet, ConnAck):
            # The silence that counts begins here: until now it was for the server to speak.
            self._heard = self._spoke = True
            if self._role is Role.SERVER:
                self._out += [encode(PingResp())] * self._owed_pings
                self._owed_pings = 0

    def _break_off(self, fault: RemoteProtocolError) -> NoReturn:
        self._end()
        # A copy: the one we keep must not hold on to the frames, and the bytes in them, that it passes through.
        raise type(fault)(*fault.args) from None

    def _end(self) -> None:
        self._buffer.clear()
        self._in_flight.clear()
        self._turn(ENDED)

    def _turn(self, changes: dict[Role, Voice]) -> None:
        self._voices |= changes
        self._state = overall(self._voices[Role.CLIENT], self._voices[Role.SERVER])
        self._may_send = MAY_SAY[self._role, self._voices[self._role]]
        self._may_come = MAY_SAY[self._role.peer, self._voices[self._role.peer]]


def _name(kind: int) -> str:
    return PacketType(kind).name if 1 <= kind <= 14 else f"packet type {kind}"
