"""SASL TPM byte by byte, by the contract's vector; and the law of its segments."""

import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.dps.frontends.amqp_sasl import (
    SEGMENT_BYTES,
    SaslFormError,
    TpmHello,
    ask_storage_root_key,
    ask_token,
    read_hello,
    segments,
)

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "tpm-vector-01.json").read_text())
SAID = {
    name: bytes.fromhex(VECTOR["amqpSasl"][f"{name}Hex"])
    for name in ("initialResponse", "challenge1", "response1", "challenge2", "response2", "challenge3")
}


class Device:
    """Answers challenges in order, and writes them down."""

    def __init__(self, *responses: bytes) -> None:
        self.responses = list(responses)
        self.challenges: list[bytes] = []

    async def challenge(self, data: bytes) -> bytes:
        self.challenges.append(data)
        return self.responses.pop(0)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Carry out what never really waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


def test_the_vectors_exchange() -> None:
    token = VECTOR["sas"]["token"]
    device = Device(SAID["response1"], SAID["response2"], b"\0" + token.encode())
    hello = run(read_hello(SAID["initialResponse"], device))
    srk = run(ask_storage_root_key(device))
    blob = SAID["challenge2"][1:] + SAID["challenge3"][1:]
    assert run(ask_token(blob, device)) == token
    assert device.challenges == [SAID["challenge1"], SAID["challenge2"], SAID["challenge3"]]
    assert hello.registration_id == VECTOR["registrationId"]
    assert hello.id_scope == "0ne00111111"
    assert hello.endorsement_key == SAID["initialResponse"][-316:]
    assert srk == SAID["response1"][1:]
    assert len(blob) == VECTOR["totalBytes"]


@given(st.binary(min_size=SEGMENT_BYTES + 1, max_size=2 * SEGMENT_BYTES))
def test_two_segments_hold_the_blob(blob: bytes) -> None:
    first, last = segments(blob)
    assert (first[0], last[0]) == (0x80, 0xC1)
    assert first[1:] + last[1:] == blob
    assert 1 < len(first) <= SEGMENT_BYTES + 1
    assert 1 < len(last) <= SEGMENT_BYTES + 1


@pytest.mark.parametrize("size", [0, SEGMENT_BYTES, 2 * SEGMENT_BYTES + 1])
def test_a_blob_that_is_none_of_ours(size: int) -> None:
    with pytest.raises(ValueError, match=str(size)):
        segments(bytes(size))


@given(
    st.binary(min_size=1, max_size=300),
    st.lists(st.integers(min_value=1, max_value=299), max_size=3, unique=True),
)
def test_what_comes_in_segments_is_joined(key: bytes, cuts: list[int]) -> None:
    whole = b"scope\0device\0" + key
    ends = [*sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    parts = [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    last = len(parts) - 1
    said = [bytes([0x80 | (0x40 if number == last else 0) | number]) + part for number, part in enumerate(parts)]
    if len(parts) == 1:
        said = [b"\0" + whole]
    device = Device(*said[1:])
    hello = run(read_hello(said[0], device))
    assert hello == TpmHello(id_scope="scope", registration_id="device", endorsement_key=key)
    assert device.challenges == [b"\0"] * (len(parts) - 1)


@pytest.mark.parametrize(
    "said", [None, b"", b"\0", b"\0a", b"\0a\0b", b"\0a\0b\0", b"\0\xff\0b\0k", b"\0" + bytes(9000)]
)
def test_what_is_no_hello(said: bytes | None) -> None:
    with pytest.raises(SaslFormError):
        run(read_hello(said, Device()))


def test_segments_without_end() -> None:
    with pytest.raises(SaslFormError, match="too many"):
        run(read_hello(b"\x80a", Device(*[b"\x80a"] * 9)))
