"""The codecs of proton, rhea and uamqp read what ours writes, and ours reads what they write, to the same values."""

import json
import os
import subprocess
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from homeport.proto.amqp.decoder import Budget, decode_value
from homeport.proto.amqp.encoder import encode_value
from tests.interop.amqp.loop import PEERS, RHEA, SYSTEM_PYTHON, available
from tests.proto.amqp.tagged import SCALARS, to_tagged, values

CODECS = {
    "proton": [SYSTEM_PYTHON, str(PEERS / "proton_codec.py")],
    "rhea": ["node", str(PEERS / "rhea_codec.cjs")],
}
# Neither peer has arrays of null.
ARRAYS = [kind for kind in SCALARS if kind != "null"]
BATCH = 60


@pytest.mark.parametrize(
    "peer",
    [
        pytest.param(peer, marks=pytest.mark.skipif(not available(peer), reason=f"{peer} is not installed"))
        for peer in CODECS
    ],
)
def test_values(peer: str) -> None:
    process = subprocess.Popen(
        CODECS[peer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"RHEA": str(RHEA)}
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    @settings(
        max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
    )
    @given(batch=st.lists(values(array_kinds=ARRAYS), min_size=1, max_size=BATCH))
    def compare(batch: list[Any]) -> None:
        stdin.writelines(json.dumps([to_tagged(value), encode_value(value).hex()]) + "\n" for value in batch)
        stdin.flush()
        answers = [json.loads(stdout.readline()) for _ in batch]
        for value, (theirs, data) in zip(batch, answers, strict=True):
            assert theirs == to_tagged(value), f"{peer} reads {encode_value(value).hex()} otherwise"
            ours = decode_value(bytes.fromhex(data), Budget(16, 1000))
            assert to_tagged(ours) == to_tagged(value), f"{peer} writes {data}"

    with process:
        try:
            compare()
        finally:
            process.kill()
