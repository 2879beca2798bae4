"""Whatever bytes come, a certificate request is read or refused with RequestError, and nothing else happens."""

import contextlib

from hypothesis import example, given, settings
from hypothesis import strategies as st

from homeport.security.x509_request import (
    RequestError,
    decode_request,
    is_signed,
    parse_request,
)
from tests.issuing import request_der, request_text

GENUINE = request_der("fuzzed")


@st.composite
def nearly(draw: st.DrawFn) -> bytes:
    """A genuine request with pieces cut out, doubled or overwritten."""
    data = bytearray(GENUINE)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 40)))
        data[start:end] = draw(st.one_of(st.binary(max_size=40), st.just(bytes(data[start:end]) * 2)))
    return bytes(data)


@settings(max_examples=400)
@given(st.one_of(st.binary(max_size=400), nearly()))
@example(b"")
@example(b"\x30\x80\x00\x00")
@example(b"\x30\x84\xff\xff\xff\xff")
def test_requests(data: bytes) -> None:
    try:
        request = parse_request(data)
    except RequestError:
        return
    assert isinstance(is_signed(request), bool)


@given(st.text(max_size=200))
@example(request_text("fuzzed") + "\n")
@example("\ud800")
def test_texts(text: str) -> None:
    with contextlib.suppress(RequestError):
        assert isinstance(decode_request(text), bytes)
