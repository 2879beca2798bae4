"""Refusals of the provisioning service, of hubs, and of whatever else stands in between."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from homeport.client import (
    NotFoundError,
    ProvisioningServiceError,
    ThrottledError,
    UnauthorizedError,
    UnexpectedAnswerError,
)
from homeport.client.answers import decode, refusal, retry_after
from homeport.client.models import IndividualEnrollment


def test_recorded_refusals(recorded: Callable[[str], Any]) -> None:
    items = [item for item in recorded("error-bodies")["items"] if "errorCode" in item["body"]]
    assert len(items) == 5
    for item in items:
        error = refusal(401, {}, json.dumps(item["body"]).encode())
        assert isinstance(error, UnauthorizedError)
        assert error.code == item["body"]["errorCode"]
        assert error.tracking_id == item["body"]["trackingId"]
        assert str(error).startswith(f"401 ({error.code}): {item['body']['message']} [tracking id ")


@pytest.mark.parametrize(
    ("body", "code", "message", "tracking_id"),
    [
        (
            {
                "Message": "ErrorCode:DeviceNotFound;d1",
                "ExceptionMessage": "Tracking ID:1024427c-G:4-TimeStamp:04/19/2017 13:29:00",
            },
            "DeviceNotFound",
            "d1",
            "1024427c-G:4",
        ),
        (
            {
                "Message": '{"errorCode":404103,"trackingId":"2ce0","message":"Timed out.","info":{"timeout":"0"}}',
                "ExceptionMessage": "",
            },
            404103,
            "Timed out.",
            "2ce0",
        ),
        ({"message": "plain"}, None, "plain", "from-header"),
    ],
)
def test_a_hubs_forms(body: Any, code: object, message: str, tracking_id: str) -> None:
    error = refusal(404, {"x-ms-request-id": "from-header"}, json.dumps(body).encode())
    assert isinstance(error, NotFoundError)
    assert (error.code, error.message, error.tracking_id) == (code, message, tracking_id)


@pytest.mark.parametrize(
    "body", [b"", b"<html>bad gateway", b"[]", b"\xff", b"null", b'{"errorCode":"x"}', b"[" * 99999]
)
def test_anything_else(body: bytes) -> None:
    error = refusal(502, {}, body)
    assert type(error) is ProvisioningServiceError
    assert error.status == 502
    assert error.code is None


def test_throttling() -> None:
    error = refusal(429, {"retry-after": "7"}, b"")
    assert isinstance(error, ThrottledError)
    assert error.retry_after == 7


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("3", 3),
        (" 5 ", 5),
        ("0", 0),
        ("1.5", None),
        ("-1", None),
        ("Fri, 01 Jan", None),
        ("9" * 50, None),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert retry_after(text) == seconds


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[" * 99999, b"\xff"])
def test_documents_that_are_none(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswerError):
        decode(body, IndividualEnrollment)
