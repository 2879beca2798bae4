"""Binding, limits and draining."""

import asyncio
import errno
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from homeport.net.arrivals import DEFAULT_ARRIVALS
from homeport.net.certificates import CertificateError, ServerCertificates
from homeport.net.listener import Listener, ListenerLimits, PortUnavailableError
from homeport.net.stream import ByteStream
from homeport.net.tls import TlsLimits
from tests.net.certs import Identity, issue
from tests.net.clients import knock
from tests.net.conftest import ClientContext
from tests.net.test_tls import Echo, connect, listen, say


async def test_several_addresses_at_one_port(certificates: ServerCertificates, client_context: ClientContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with Listener(Echo(), certificates, port=port, addresses=["127.0.0.1", "127.0.0.2"]) as listener:
        assert listener.addresses == [("127.0.0.1", port), ("127.0.0.2", port)]
        for host, _ in listener.addresses:
            reader, writer = await asyncio.open_connection(
                host, port, ssl=client_context(), server_hostname="localhost"
            )
            assert await say(reader, writer) == b"hello"
            assert writer.get_extra_info("peername")[0] == host
            writer.close()


async def test_a_taken_port_and_a_foreign_address(certificates: ServerCertificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortUnavailableError) as caught:
            async with Listener(Echo(), certificates, port=port, addresses=["127.0.0.2", "127.0.0.1"]):
                pytest.fail("it cannot be entered")
        assert (caught.value.port, caught.value.address, caught.value.why) == (port, "127.0.0.1", "in use")
        assert "another port" in str(caught.value)
        # Nothing is left open of the attempt.
        with socket.create_server(("127.0.0.2", port)):
            pass
    for address in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(PortUnavailableError) as caught:
            async with Listener(Echo(), certificates, port=0, addresses=[address]):
                pytest.fail("it cannot be entered")
        assert caught.value.why == "address not available"


async def test_a_forbidden_port(certificates: ServerCertificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this process may open port 443 depends on the machine, so the refusal is played."""

    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(PortUnavailableError) as caught:
        async with Listener(Echo(), certificates, port=443, addresses=["127.0.0.1"]):
            pytest.fail("it cannot be entered")
    assert caught.value.why == "permission denied"
    for remedy in ("ip_unprivileged_port_start=443", "setcap", "sudo", "another port"):
        assert remedy in str(caught.value)


async def test_too_many_connections_are_refused_until_one_leaves(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listen(Echo(), certificates, connections=2) as listener:
        first, second = [await connect(listener, client_context()) for _ in range(2)]
        with pytest.raises(OSError, match=r"."):
            await connect(listener, client_context())
        assert listener.connections == 2
        assert await say(*first) == b"hello"
        first[1].close()
        for _ in range(100):
            if listener.connections < 2:
                break
            await asyncio.sleep(0.01)
        third = await connect(listener, client_context())
        assert await say(*third) == b"hello"
        for _, writer in (second, third):
            writer.close()


async def test_handshakes_wait_for_their_turn(certificates: ServerCertificates, client_context: ClientContext) -> None:
    """Two strangers who do not go on fill the handshakes; an honest client gets in when their time is up."""
    async with listen(Echo(), certificates, handshakes=2, handshake_seconds=0.3) as listener:
        strangers = [await knock(listener.addresses[0]) for _ in range(2)]
        reader, writer = await connect(listener, client_context())
        assert await say(reader, writer) == b"hello"
        for stranger, _ in strangers:
            assert await asyncio.wait_for(stranger.read(), 5)
            assert stranger.at_eof()
        writer.close()
        for _, each in strangers:
            each.close()


async def test_silent_strangers_take_no_turn(certificates: ServerCertificates, client_context: ClientContext) -> None:
    async with listen(Echo(), certificates, handshakes=1, handshake_seconds=0.3) as listener:
        strangers = [await asyncio.open_connection(*listener.addresses[0]) for _ in range(20)]
        strangers[0][1].write(b"\x16\x03\x01\x02\x00")  # the beginning of a message is none
        reader, writer = await connect(listener, client_context())
        assert await say(reader, writer) == b"hello"
        writer.close()
        for stranger, each in strangers:
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(stranger.read(), 5) == b""
            each.close()


async def test_waiting_for_a_turn_has_an_end(certificates: ServerCertificates) -> None:
    async with listen(Echo(), certificates, handshakes=1, queue_seconds=0.1) as listener:
        first, second = [await knock(listener.addresses[0]) for _ in range(2)]
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(second[0].read(), 5) == b""
        assert listener.connections == 1
        for _, writer in (first, second):
            writer.close()


async def test_many_clients_at_once_through_few_handshakes(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listen(Echo(), certificates, handshakes=3) as listener:
        context = client_context()

        async def visit(number: int) -> bytes:
            reader, writer = await connect(listener, context)
            heard = await say(reader, writer, b"%04d" % number)
            writer.close()
            return heard

        heard = await asyncio.gather(*(visit(number) for number in range(60)))
    assert heard == [b"%04d" % number for number in range(60)]


async def test_one_task_failing_concerns_no_other(
    certificates: ServerCertificates, client_context: ClientContext, caplog: pytest.LogCaptureFixture
) -> None:
    async def fussy(stream: ByteStream) -> None:
        while data := await stream.read():
            if data == b"fault":
                raise ZeroDivisionError("told in the log")
            stream.write(data)
        await stream.close()

    async with listen(Echo(fussy), certificates) as listener:
        good, bad = [await connect(listener, client_context()) for _ in range(2)]
        bad[1].write(b"fault")
        for _ in range(100):
            if "told in the log" in caplog.text:
                break
            await asyncio.sleep(0.01)
        assert "told in the log" in caplog.text
        assert await say(*good) == b"hello"
        for _, writer in (good, bad):
            writer.close()


async def test_drain_waits_for_those_who_finish_and_cuts_the_others(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    stop = asyncio.Event()
    ends: list[str] = []

    class Polite(Echo):
        async def finish(self, grace: float) -> None:
            stop.set()

    async def until_asked(stream: ByteStream) -> None:
        if await stream.read() == b"polite":
            await stop.wait()
            stream.write(b"bye")
            await stream.close()
            ends.append("polite")
        else:
            assert await stream.read() == b""
            ends.append("cut")

    listener = listen(Polite(until_asked), certificates, grace=0.5)
    async with listener:
        polite, stubborn = [await connect(listener, client_context()) for _ in range(2)]
        polite[1].write(b"polite")
        stubborn[1].write(b"stubborn")
        silent = await asyncio.open_connection(*listener.addresses[0])
        await asyncio.sleep(0.05)
        listener.stop()
        assert await asyncio.wait_for(polite[0].read(), 5) == b"bye"
        polite[1].close()
        assert await asyncio.wait_for(silent[0].read(), 5) == b""
        silent[1].close()
    assert listener.connections == 0
    assert sorted(ends) == ["cut", "polite"]
    stubborn[1].transport.abort()


async def test_an_exception_in_the_block_comes_out_as_it_is(certificates: ServerCertificates) -> None:
    with pytest.raises(ZeroDivisionError):
        async with listen(Echo(), certificates):
            raise ZeroDivisionError


async def test_cancelled_while_serving(certificates: ServerCertificates, client_context: ClientContext) -> None:
    ready = asyncio.Event()
    listener = listen(Echo(), certificates)

    async def serve() -> None:
        async with listener:
            ready.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve())
        await ready.wait()
        _, writer = await connect(listener, client_context())
        serving.cancel()
    assert serving.cancelled()
    assert listener.connections == 0
    writer.transport.abort()


@pytest.mark.parametrize(
    ("chain", "key", "complaint"),
    [
        ("nothing", "right", "chain cannot be read"),
        ("right", "nothing", "key cannot be read"),
        ("right", "other", "cannot be used together"),
        ("key", "right", "chain cannot be read"),
    ],
)
def test_certificates_that_cannot_be_used(
    chain: str, key: str, complaint: str, server_identity: Identity, tmp_path: Path
) -> None:
    chains = {"nothing": b"", "right": server_identity.chain_pem, "key": server_identity.key_pem}
    keys = {"nothing": b"", "right": server_identity.key_pem, "other": issue("other").key_pem}
    with pytest.raises(CertificateError, match=complaint) as caught:
        ServerCertificates(chains[chain], keys[key])
    assert "PRIVATE" not in str(caught.value)


def test_limits_have_sane_defaults() -> None:
    assert ListenerLimits().tls == TlsLimits()
    assert DEFAULT_ARRIVALS.handshakes < DEFAULT_ARRIVALS.connections
    assert DEFAULT_ARRIVALS.address_handshakes < DEFAULT_ARRIVALS.handshakes
