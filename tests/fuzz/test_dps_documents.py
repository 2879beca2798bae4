"""Invariant: whatever bytes a stranger sends, a document is read or WireError is raised, and nothing else."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homeport.wire import WireError, decode, dps_admin, dps_device, dps_service, encode_ascii

DECODERS: list[Any] = [
    dps_device.register_body,
    dps_device.operation_status,
    dps_device.error_body,
    dps_service.individual_enrollment,
    dps_service.enrollment_group,
    dps_service.query_specification,
    dps_admin.hub_creation,
    dps_admin.hub_change,
]
SEEDS = [
    b'{"registrationId":"my-device","tpm":{"endorsementKey":"AToA","storageRootKey":"ARoA"},"payload":{"a":[1,"\\u00e9"]}}',
    (
        b'{"registrationId":"a","attestation":{"type":"x509","x509":{"clientCertificates":{"primary":{"info":{}}}}},'
        b'"capabilities":{"iotEdge":true},"initialTwin":{"properties":{"desired":{"x":1e9}}},"iotHubs":["h"]}'
    ),
    b'{"query":"SELECT *","hostNames":["a"],"allocationWeight":1}',
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Cut, repeat and overwrite parts of a good document."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 12)))
        data[start:end] = draw(st.binary(max_size=8) | st.just(bytes(data[start:end]) * 3) | st.just(b'{"'))
    return bytes(data)


@pytest.mark.parametrize("decoder", DECODERS)
@given(body=st.binary(max_size=200) | mutated())
@example(body=b'{"payload":' + b'{"a":' * 30000)
@example(body=b'{"registrationId":"\\ud800"}')
@example(body=b'{"registrationId":"\xff"}')
@example(body=b'{"allocationWeight":1' + b"0" * 5000 + b"}")
@example(body=b'{"payload":1e99999}')
def test_reading(decoder: Any, body: bytes) -> None:
    try:
        document = decode(decoder, body)
    except WireError as error:
        assert len(str(error)) < 500  # noqa: PT017  # the message goes back to the stranger
    else:
        assert encode_ascii(document).isascii()
