"""PROXY protocol headers: what the specification's examples say, whole and byte by byte, and nothing else."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.net.proxy_protocol import Introduced, NotAHeaderError, is_trusted, read_header
from homeport.net.stream import Address

SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")


def v2(family: int, body: bytes, command: int = 0x21) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2) + body


IPV4 = bytes([192, 0, 2, 7, 10, 0, 0, 1]) + (40000).to_bytes(2) + (443).to_bytes(2)
IPV6 = ipaddress.ip_address("2001:db8::7").packed + bytes(16) + (40000).to_bytes(2) + (443).to_bytes(2)

HEADERS = {
    b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 443\r\n": Address("192.0.2.7", 40000),
    b"PROXY TCP6 2001:db8::7 ::1 40000 443\r\n": Address("2001:db8::7", 40000),
    b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 443\r\n": Address("192.0.2.7", 1),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": None,
    v2(0x11, IPV4): Address("192.0.2.7", 40000),
    v2(0x21, IPV6): Address("2001:db8::7", 40000),
    v2(0x11, IPV4 + b"\x04\x00\x03abc"): Address("192.0.2.7", 40000),
    v2(0x00, b"", 0x20): None,
    v2(0x11, IPV4, 0x20): None,
    v2(0x00, b""): None,
}


@pytest.mark.parametrize("header", HEADERS)
def test_headers(header: bytes) -> None:
    assert read_header(header + b"\x16\x03\x01") == Introduced(HEADERS[header], len(header))
    for end in range(len(header)):
        assert read_header(header[:end]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00",
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 40000\r\n",
        b"PROXY TCP4 2001:db8::7 10.0.0.1 40000 443\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 70000 443\r\n",
        b"PROXY TCP4 localhost 10.0.0.1 40000 443\r\n",
        b"PROXY UDP4 192.0.2.7 10.0.0.1 40000 443\r\n",
        b"PROXY TCP4 " + b"1" * 100,
        SIGNATURE + b"\x31\x11\x00\x0c" + IPV4,
        SIGNATURE + b"\x22\x11\x00\x0c" + IPV4,
        SIGNATURE + b"\x21\x11\xff\xff" + IPV4,
        v2(0x11, IPV4[:6]),
        v2(0x31, bytes(216)),
    ],
)
def test_what_is_no_header(data: bytes) -> None:
    with pytest.raises(NotAHeaderError):
        read_header(data)


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda rest: b"PROXY " + rest)
       | st.binary(max_size=200).map(lambda rest: SIGNATURE + rest))  # fmt: skip
def test_any_bytes_are_a_header_or_not(data: bytes) -> None:
    try:
        introduced = read_header(data)
    except NotAHeaderError:
        return
    if introduced is not None:
        assert 0 < introduced.size <= len(data)
        assert introduced.source is None or ipaddress.ip_address(introduced.source.host)


def test_who_is_trusted() -> None:
    networks = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")]
    assert is_trusted("10.1.2.3", networks)
    assert is_trusted("2001:db8::9", networks)
    assert not is_trusted("192.0.2.1", networks)
    assert not is_trusted("", networks)
