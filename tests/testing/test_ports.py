"""Sockets that are led to another port, and those that are not."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from homeport.testing.ports import free_place, redirected

HERE = "127.0.0.1"


@pytest.fixture
def door() -> Iterator[socket.socket]:
    with socket.create_server((HERE, 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    number: int = server.getsockname()[1]
    return number


def reached(server: socket.socket, port: int) -> bool:
    """Tell whether dialling that port leads to this server."""
    with socket.socket() as dialling:
        if dialling.connect_ex((HERE, port)) != 0:
            return False
        there, _ = server.accept()
        there.close()
        return True


def test_a_port_leads_to_another_while_it_is_said_so(door: socket.socket) -> None:
    assert not reached(door, 9)
    with redirected(HERE, {9: port_of(door)}):
        assert reached(door, 9)
        assert not reached(door, 10)
        with socket.create_connection((HERE, 9)) as connection:
            assert connection.getpeername() == (HERE, port_of(door))
    assert not reached(door, 9)
    assert "connect" not in vars(socket.socket)


def test_other_addresses_are_left_alone(door: socket.socket) -> None:
    with redirected("127.0.0.2", {9: port_of(door)}):
        assert not reached(door, 9)


def test_two_at_once_do_not_end_each_other(door: socket.socket) -> None:
    with redirected(HERE, {9: port_of(door)}):
        with redirected(HERE, {10: port_of(door)}):
            assert reached(door, 10)
        assert reached(door, 9)
        assert not reached(door, 10)


async def test_asyncio_is_led_there_too(door: socket.socket) -> None:
    with redirected(HERE, {9: port_of(door)}):
        _, writer = await asyncio.open_connection(HERE, 9)
        assert writer.get_extra_info("peername") == (HERE, port_of(door))
        writer.close()
        await writer.wait_closed()


def test_nothing_is_touched_where_the_ports_are_real() -> None:
    with redirected(HERE, {443: 443, 8883: 8883}):
        assert "connect" not in vars(socket.socket)


def test_a_place_is_a_loopback_address_of_its_own() -> None:
    places = {free_place().address for _ in range(20)}
    assert len(places) > 1
    assert all(address.startswith("127.") for address in places)
