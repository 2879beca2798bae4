"""The provisioning service's documents: observed bodies read and written again, limits, times, ASCII."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.wire import (
    MAX_DOCUMENT_BYTES,
    TooLargeError,
    WireError,
    decode,
    encode,
    encode_ascii,
    format_seconds,
    format_time,
    parse_time,
)
from homeport.wire import dps_device as device
from homeport.wire import dps_service as service
from homeport.wire.versions import (
    hears_assigning_first,
    is_api_version,
    keeps_hub_without_policy,
    waits_after_sending,
)

OBSERVED = json.loads((Path(__file__).parents[2] / "vectors" / "dps-observed.json").read_text())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize("body", OBSERVED["deviceBodies"])
def test_observed_answers_are_read_and_written_member_by_member(body: dict[str, Any]) -> None:
    document = decode(device.operation_status, json.dumps(body).encode())
    assert json.loads(encode(document)) == body


@pytest.mark.parametrize("item", OBSERVED["errorBodies"])
def test_observed_errors_are_read_and_written(item: dict[str, Any]) -> None:
    document = decode(device.error_body, json.dumps(item["body"]).encode())
    assert list(json.loads(encode(document)).items()) == list(item["body"].items())


@pytest.mark.parametrize("number", range(len(OBSERVED["exchanges"])))
def test_observed_enrollments_are_written_in_their_order(number: int) -> None:
    for exchange in OBSERVED["exchanges"][number]["exchanges"]:
        body = exchange["response"].get("body")
        if isinstance(body, dict) and "attestation" in body:
            decoder: Any = service.enrollment_group if "enrollmentGroupId" in body else service.individual_enrollment
            assert json.dumps(json.loads(encode(decode(decoder, json.dumps(body).encode())))) == json.dumps(body)


@given(JSON)
def test_a_payload_passes_byte_for_byte(payload: Any) -> None:
    text = json.dumps(payload, ensure_ascii=False, indent=1).encode()
    document = decode(device.register_body, b'{"payload": ' + text + b"}")
    assert bytes(document.payload) == text


@given(JSON)
def test_ascii_says_the_same(value: Any) -> None:
    assert encode_ascii(value).isascii()
    assert json.loads(encode_ascii(value)) == json.loads(encode(value))


def test_absent_and_null_are_told_apart() -> None:
    absent = decode(device.register_body, b"{}")
    null = decode(device.register_body, b'{"registrationId":null,"tpm":null,"payload":null}')
    assert (absent.registration_id, absent.tpm, bytes(absent.payload)) == (msgspec.UNSET, msgspec.UNSET, b"")
    assert (null.registration_id, null.tpm, bytes(null.payload)) == (None, None, b"null")


def test_size_is_looked_at_before_form() -> None:
    with pytest.raises(TooLargeError):
        decode(device.register_body, b"{" * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(WireError, match="nested"):
        decode(device.register_body, b'{"x":' + b"[" * 20000)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert decode(device.register_body, b'\xef\xbb\xbf{"registrationId":"a"}').registration_id == "a"


def test_faults_name_the_member_and_not_its_value() -> None:
    with pytest.raises(WireError) as caught:
        decode(service.individual_enrollment, b'{"registrationId":"a","attestation":{"type":{"key":"s3cret"}}}')
    assert "$.attestation.type" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_challenge_has_no_status() -> None:
    assert json.loads(encode(device.Challenge(authentication_key="AA=="))) == {
        "message": "Authorization required, resend request using supplied key",
        "authenticationKey": "AA==",
        "unencryptedAuthenticationKey": None,
        "keyName": "registration",
    }


def test_times() -> None:
    moment = datetime(2023, 5, 19, 23, 10, 45, 125625, tzinfo=UTC)
    assert format_time(moment) == "2023-05-19T23:10:45.1256250Z"
    assert format_time(moment.replace(microsecond=0)) == "2023-05-19T23:10:45.0000000Z"
    assert format_seconds(moment) == "2023-05-19T23:10:45Z"
    for text in ("2023-05-19T23:10:45.1256254Z", "2023-05-19T23:10:45.125625", "2023-05-20T01:10:45.125625+02:00"):
        assert parse_time(text) == moment
    assert parse_time("2023-05-19T23:10:45Z") == moment.replace(microsecond=0)


@pytest.mark.parametrize("text", ["2017-08-31-preview", "2021-10-01", "2026-11-15-preview"])
def test_api_versions(text: str) -> None:
    assert is_api_version(text)


@pytest.mark.parametrize("text", ["", "latest", "2021-10-1", "2021-10-01-beta", "２０２１-10-01", "2021-10-01\n"])
def test_other_texts_are_no_api_versions(text: str) -> None:
    assert not is_api_version(text)


def test_what_versions_change() -> None:
    assert keeps_hub_without_policy("2018-04-01")
    assert keeps_hub_without_policy("2017-08-31-preview")
    assert not keeps_hub_without_policy("2018-09-01-preview")
    assert not hears_assigning_first("2019-03-31", "azure-iot-device-provisioning-py/2.14.0")
    assert waits_after_sending("2019-03-31", "com.microsoft.azure.sdk.iot.dps.dps-device-client/1.8")
    assert not waits_after_sending("2019-03-31", None)
