# Made by scripts/unasync.py: change its twin in _async instead.
"""The audit, events as a stream that goes on after a break, and administrators, with a bearer token."""

import ssl
from pathlib import Path

from homeport.client import RetryPolicy
from homeport.client._sync.admin import HomeportAdminClient
from tests.unit.client.scripted import ScriptedService, Step

VERSION = "?api-version=2021-10-01"
ENTRY = {"seq": 3, "hash": "ab", "entry": {"at": "2026-01-02T03:04:05.6000000Z", "kind": "hub.linked", "subject": "x"}}


def client(service: ScriptedService, ca_file: Path) -> HomeportAdminClient:
    retry = RetryPolicy(attempts=3, base=0.0)
    return HomeportAdminClient.create_from_token(service.authority, "hpt_x", ca_file=ca_file, retry=retry)


def event(number: int) -> str:
    document = (
        f'{{"specversion":"1.0","id":"{number}","source":"s","type":"io.homeport.hub.linked","subject":"hubs/x",'
        '"time":"2026-01-02T03:04:05.6000000Z","data":{}}'
    )
    return f"id: {number}\nevent: io.homeport.hub.linked\ndata: {document}\n\n"


def test_the_whole_audit_is_read_page_by_page(server_context: ssl.SSLContext, ca_file: Path) -> None:
    path = f"/homeport/audit{VERSION}&order=asc&after=2"
    steps = [
        Step(method="GET", path=path, body=[ENTRY], headers={"x-ms-continuation": "more"}),
        Step(method="GET", path=path, body=[{**ENTRY, "seq": 4}]),
    ]
    with ScriptedService(steps, server_context) as service, client(service, ca_file) as admin:
        found = list(admin.audit(after=2))
    assert [(entry.seq, entry.kind) for entry in found] == [(3, "hub.linked"), (4, "hub.linked")]
    assert service.requests[0].headers["authorization"] == "Bearer hpt_x"
    assert service.requests[1].headers["x-ms-continuation"] == "more"


def test_a_stream_goes_on_behind_the_last_event(server_context: ssl.SSLContext, ca_file: Path) -> None:
    begin = f"/homeport/events{VERSION}&types=hub.%2A"
    steps = [
        Step(method="GET", path=f"{begin}&replay=2", text=": open\n\n" + event(5)),
        Step(method="GET", path=f"{begin}&after=5", status=0),
        Step(method="GET", path=f"{begin}&after=5", text=event(6) + "id: 9\n: alive\n\nevent: end\ndata: {}\n\n"),
        Step(method="GET", path=f"{begin}&after=9", text=event(10)),
    ]
    found = []
    with ScriptedService(steps, server_context) as service, client(service, ca_file) as admin:
        for each in admin.events(types=["hub.*"], replay=2):
            found.append(each.id)
            if each.id == "10":
                break
    assert found == ["5", "6", "10"]


def test_a_token_is_told_once_and_hidden(server_context: ssl.SSLContext, ca_file: Path) -> None:
    steps = [
        Step(
            method="PUT",
            path=f"/homeport/administrators/anna{VERSION}",
            expects={"role": "reader"},
            body={"name": "anna", "role": "reader", "token": "hpt_secret"},
        ),
        Step(method="DELETE", path=f"/homeport/administrators/anna{VERSION}", status=204),
    ]
    with ScriptedService(steps, server_context) as service, client(service, ca_file) as admin:
        made = admin.create_administrator("anna", "reader")
        admin.revoke_administrator("anna")
    assert made.token == "hpt_secret"
    assert "hpt_secret" not in repr(made)
