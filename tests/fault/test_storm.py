"""A provisioning storm against a server with few turns: refused devices come back, all get in, and nothing is lost."""

from pathlib import Path

import httpx

from bench.devices import KeyGroup
from bench.server import ServerUnderTest
from bench.storm import Storm, rage
from homeport.client import HomeportAdminClient

DEVICES = 600
BYSTANDERS = 5
NETWORKS = 40
SECONDS = 120.0
TIGHT = {"calls-in-flight": 2, "calls-waiting": 10, "handshakes": 32, "waiting-handshakes": 60, "device-polls": "off"}


def test_everybody_gets_in_and_stays_in(tmp_path: Path) -> None:
    options = [word for name, value in TIGHT.items() for word in ("--limit", f"{name}={value}")]
    with ServerUnderTest(tmp_path / "storm", *options) as server:
        service = server.service()
        group = KeyGroup(service, "storm", tls="1.3")
        devices = group.devices("storm", DEVICES)
        bystanders = group.devices("bystander", BYSTANDERS)
        storm = Storm(service, group.context, left=DEVICES)
        sources = [f"127.30.{number}.1" for number in range(NETWORKS)]
        rage(storm, devices, bystanders, sources, server.pid, SECONDS)

        # Whoever was accepted was answered, whoever was refused came back; those who were in were served meanwhile.
        assert storm.left == 0
        assert len(storm.latencies) == DEVICES
        assert storm.outcomes["throttled"] + storm.outcomes["reset"] > 0
        place = f"https://{service.https[0]}:{service.https[1]}"
        metrics = httpx.get(f"{place}/homeport/metrics", verify=False, trust_env=False).text
        figures = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
        assert float(figures['homeport_calls_in_flight{call="register"}']) == 0
        assert float(figures['homeport_calls_waiting{call="register"}']) == 0
        assert float(figures["homeport_handshakes_waiting"]) == 0
        # As a power cut would: what was acknowledged is there.
        server.kill()
        server.start()
        with HomeportAdminClient.create_from_connection_string(
            service.connection_string, ca_file=tmp_path / "storm" / "ca.pem"
        ) as admin:
            registered = {each.registration_id for each in admin.registrations(page_size=1000)}
        assert registered == {device.name for device in (*devices, *bystanders)}
