"""Law: whoever has a key can check a signature made with it, within its time, and nothing else passes."""

from hypothesis import given
from hypothesis import strategies as st

from homeport.security.webhook_signature import sign, verify

KEY = b"k" * 32


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=64), st.integers(0, 2**40), st.integers(-300, 300))
def test_what_is_signed_is_verified(body: bytes, key: bytes, at: int, later: int) -> None:
    assert verify(sign(body, [b"another", key], at), body, key, now=at + later)
    assert not verify(sign(body, [key], at), body, key, now=at + 301)


@given(st.text(max_size=80), st.binary(max_size=20))
def test_no_other_text_passes(header: str, body: bytes) -> None:
    assert not verify(header, body, KEY, now=1_700_000_000)


def test_a_known_signature() -> None:
    """Made with: printf '1700000000.{}' | openssl dgst -sha256 -mac HMAC -macopt key:secret."""
    header = "t=1700000000,v1=" + KNOWN
    assert sign(b"{}", [b"secret"], 1_700_000_000) == header
    assert verify(header, b"{}", b"secret", now=1_700_000_000)


KNOWN = "b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
