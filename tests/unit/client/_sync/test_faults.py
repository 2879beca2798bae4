# Made by scripts/unasync.py: change its twin in _async instead.
"""The administrator's client of the fault lab."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeport.client import FaultMessages, NotFoundError
from homeport.client._sync.admin import HomeportAdminClient
from tests.unit.client.scripted import ScriptedService, Step

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
VERSION = "?api-version=2021-10-01"
FAULTS = "/homeport/faults"
FAULT = {
    "id": "f-1",
    "kind": "latency",
    "state": "active",
    "description": "200 ms late",
    "at": "hub",
    "devices": ["d1"],
    "deviceCount": 1,
    "probability": 0.5,
    "seed": 2**60,
    "startsDateTimeUtc": "2026-01-02T03:04:05.6000000Z",
    "injected": 3,
    "startedBy": "anna",
}


def client(service: ScriptedService, ca_file: Path) -> HomeportAdminClient:
    text = f"HostName={service.authority};SharedAccessKeyName=p;SharedAccessKey={KEY}"
    return HomeportAdminClient.create_from_connection_string(text, ca_file=ca_file)


def test_every_kind_is_started(server_context: ssl.SSLContext, ca_file: Path) -> None:
    expected: list[dict[str, object]] = [
        {"kind": "drop", "intervalSeconds": 5, "orderly": True, "hubs": ["hub1"]},
        {
            "kind": "latency",
            "at": "hub",
            "minimumMs": 200,
            "devices": ["d1"],
            "startInSeconds": 0,
            "durationSeconds": 60,
            "probability": 0.5,
            "seed": 0,
        },
        {"kind": "throttle", "at": "provisioning", "retryAfterSeconds": 9, "prefix": "line-"},
        {"kind": "error", "at": "hub", "status": 500, "query": "tags.x = 1"},
        {"kind": "clock", "at": "hub", "shiftSeconds": -60},
        {"kind": "outage", "status": 404, "sides": ["devices"]},
    ]
    path = f"{FAULTS}{VERSION}"
    steps = [Step(method="POST", path=path, status=201, body=FAULT, expects=document) for document in expected]
    with ScriptedService(steps, server_context) as service, client(service, ca_file) as admin:
        admin.start_drop(interval=5, orderly=True, hubs=["hub1"])
        fault = admin.start_latency(200, devices=["d1"], start=0, duration=60, probability=0.5, seed=0)
        admin.start_throttling(retry_after=9, at="provisioning", prefix="line-")
        admin.start_errors(status=500, query="tags.x = 1")
        admin.start_clock_shift(-60)
        admin.start_outage(status=404, sides=["devices"])
    assert (fault.id, fault.seed, fault.devices, fault.hubs, fault.ends_date_time_utc) == (
        "f-1",
        2**60,
        ["d1"],
        None,
        None,
    )
    assert fault.starts_date_time_utc == datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=UTC)


def test_looking_and_stopping(server_context: ssl.SSLContext, ca_file: Path) -> None:
    done = {
        "dateTimeUtc": "2026-01-02T03:04:05.0000000Z",
        "kind": "message",
        "deviceId": "d:1",
        "hub": "hub1",
        "point": "session",
        "transport": "amqp",
        "detail": "KillTcp",
    }
    closed = {"errorCode": 404000, "trackingId": "t", "message": "closed: --fault-lab", "timestampUtc": ""}
    steps = [
        Step(method="GET", path=f"{FAULTS}{VERSION}", body=[FAULT]),
        Step(method="GET", path=f"{FAULTS}/f-1{VERSION}", body=FAULT),
        Step(method="GET", path=f"{FAULTS}/history{VERSION}&fault=f-1&deviceId=d%3A1&limit=5", body=[done]),
        Step(method="DELETE", path=f"{FAULTS}/f-1{VERSION}", status=204),
        Step(method="GET", path=f"{FAULTS}/messages{VERSION}", body=[{"hub": "hub1", "enabled": False}]),
        Step(
            method="PUT",
            path=f"{FAULTS}/messages/hub1{VERSION}",
            body={"hub": "hub1", "enabled": True},
            expects={"enabled": True},
        ),
        Step(method="GET", path=f"{FAULTS}{VERSION}", status=404, body=closed),
    ]
    with ScriptedService(steps, server_context) as service, client(service, ca_file) as admin:
        (fault,) = admin.faults()
        assert admin.fault("f-1") == fault
        (injection,) = admin.fault_history(fault_id="f-1", device_id="d:1", limit=5)
        admin.stop_fault("f-1")
        assert admin.fault_messages() == [FaultMessages(hub="hub1", enabled=False)]
        assert (admin.switch_fault_messages("hub1", enabled=True)).enabled
        with pytest.raises(NotFoundError, match="--fault-lab"):
            admin.faults()
    assert (injection.fault_id, injection.device_id, injection.detail) == (None, "d:1", "KillTcp")
