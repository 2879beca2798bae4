"""Where a test's server listens: the ports that the SDKs fix, on a loopback address of its own.

Ports below 1024 are not everybody's. A client in this process that dials such a port of the server's address is led
to the one that could be had; clients in other processes must be told it.
"""

import errno
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

HTTPS, MQTT, AMQP = 443, 8883, 5671
"""What the device SDKs dial, whatever they are told (azure-iot-device: common/mqtt_transport.py)."""

_TRIES = 20
_EVERYWHERE = "127.0.0.1"

_doors: dict[tuple[str, int], int] = {}
_before: dict[str, Any] = {}
_lock = threading.Lock()


class Place(Struct, frozen=True, kw_only=True):
    """An address and the ports to ask for there; 0 means any free one."""

    address: str
    https: int
    mqtt: int
    amqp: int


def free_place() -> Place:
    """Return a loopback address that nobody serves devices on, with as many of the SDKs' ports as can be had.

    Linux has all of 127.0.0.0/8; elsewhere, or where a program listens on all addresses, it is 127.0.0.1 with what
    is free there.
    """
    for _ in range(_TRIES):
        address = f"127.{64 + secrets.randbelow(63)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        try:
            if _can_listen(address, MQTT) and _can_listen(address, AMQP):
                return _place(address)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            break
    return _place(_EVERYWHERE)


def _place(address: str) -> Place:
    https, mqtt, amqp = (port if _can_listen(address, port) else 0 for port in (HTTPS, MQTT, AMQP))
    return Place(address=address, https=https, mqtt=mqtt, amqp=amqp)


def _can_listen(address: str, port: int) -> bool:
    """Tell whether this process may take the port now. Raises OSError if the machine has no such address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EPERM, errno.EADDRINUSE}:
                return False
            raise
    return True


@contextmanager
def redirected(address: str, ports: Mapping[int, int]) -> Iterator[None]:
    """Let sockets of this process that dial `address` reach other ports there: `ports` is dialled to real.

    It holds for what is written in Python (azure-iot-device, requests, httpx, asyncio); other addresses and ports are
    never touched, and nothing is if the ports are the real ones.
    """
    doors = {(address, dialled): real for dialled, real in ports.items() if dialled != real}
    if not doors:
        yield
        return
    with _lock:
        if not _doors:
            _install()
        _doors.update(doors)
    try:
        yield
    finally:
        with _lock:
            for door in doors:
                _doors.pop(door, None)
            if not _doors:
                _uninstall()


def _install() -> None:
    # The class is Python's own, over the one in C: a method set here stands in front of that one's. What another
    # plugin has set there stays in the way.
    for name in ("connect", "connect_ex"):
        _before[name] = vars(socket.socket).get(name)
        setattr(socket.socket, name, _through(getattr(socket.socket, name)))


def _uninstall() -> None:
    for name, before in _before.items():
        if before is None:
            delattr(socket.socket, name)
        else:
            setattr(socket.socket, name, before)


def _through(dial: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
    def connect(self: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple) and len(address) >= 2:
            real = _doors.get((address[0], address[1]))
            if real is not None:
                address = (address[0], real, *address[2:])
        return dial(self, address)

    return connect
