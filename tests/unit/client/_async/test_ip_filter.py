"""The IP filter's documents as the client writes and reads them."""

import json
import ssl
from pathlib import Path

import pytest

from homeport.client import IpFilterDecision, IpFilterRule, PreconditionFailedError
from tests.unit.client._async.test_admin import client
from tests.unit.client.scripted import ScriptedService, Step

VERSION = "?api-version=2021-10-01"
RULES = [{"name": "plant", "action": "allow", "network": "10.0.0.0/8", "target": "devices"}]
RULE = IpFilterRule(name="plant", action="allow", network="10.0.0.0/8", target="devices")


async def test_rules_are_read_replaced_and_tested(server_context: ssl.SSLContext, ca_file: Path) -> None:
    decisions = [{"target": "devices", "allowed": True, "rule": "plant"}, {"target": "portal", "allowed": True}]
    steps = [
        Step(method="GET", path=f"/homeport/ipFilter{VERSION}", body={"rules": [], "etag": '"0"'}),
        Step(method="PUT", path=f"/homeport/ipFilter{VERSION}&force=true", body={"rules": RULES, "etag": '"1"'}),
        Step(
            method="GET",
            path=f"/homeport/ipFilter/test/2001%3Adb8%3A%3A1{VERSION}",
            body={"address": "2001:db8::1", "decisions": decisions},
        ),
        Step(method="PUT", path=f"/homeport/ipFilter{VERSION}", status=412, body={"errorCode": 412000, "message": "m"}),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            standing = await admin.ip_filter()
            assert (standing.rules, standing.etag) == ([], '"0"')
            replaced = await admin.set_ip_filter([RULE], etag=standing.etag, force=True)
            assert (replaced.rules, replaced.etag) == ([RULE], '"1"')
            assert await admin.test_ip_filter("2001:db8::1") == [
                IpFilterDecision(target="devices", allowed=True, rule="plant"),
                IpFilterDecision(target="portal", allowed=True),
            ]
            with pytest.raises(PreconditionFailedError):
                await admin.set_ip_filter([], etag='"0"')
        put = service.requests[1]
        assert json.loads(put.body) == {"rules": RULES}
        assert put.headers["if-match"] == '"0"'
