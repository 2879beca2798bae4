"""Other people's AMQP libraries as devices, one registration by hand: Qpid Proton, uamqp (the C client's), rhea."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from provisioningserviceclient import ProvisioningServiceClient
from provisioningserviceclient.models import AttestationMechanism, IndividualEnrollment

from homeport.client import SymmetricKeySecurityProvider
from homeport.client.tokens import registration_token
from tests.certificates import make_certificate
from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import symmetric_key, unique

pytestmark = pytest.mark.conformance

HERE = Path(__file__).parent
SYSTEM_PYTHON = Path("/usr/bin/python3")
WRONG_KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def has_proton() -> bool:
    if not SYSTEM_PYTHON.exists():
        return False
    return subprocess.run([SYSTEM_PYTHON, "-c", "import proton"], capture_output=True, check=False).returncode == 0


PEERS = {
    "Qpid Proton": [str(SYSTEM_PYTHON), str(HERE / "amqp" / "proton_device.py")],
    "uamqp": [sys.executable, str(HERE / "amqp" / "uamqp_device.py")],
    "rhea": ["node", str(HERE / "node" / "rhea_device.cjs")],
}
AVAILABLE: dict[str, Callable[[], bool]] = {
    "Qpid Proton": has_proton,
    "uamqp": lambda: True,
    "rhea": lambda: shutil.which("node") is not None,
}


def register(service: Service, peer: str, registration_id: str, **more: Any) -> dict[str, Any]:
    if not AVAILABLE[peer]():
        pytest.skip(f"{peer} is not installed")
    wanted = {
        "host": service.host,
        "idScope": service.id_scope,
        "registrationId": registration_id,
        "apiVersion": "2021-06-01",
        "ca": service.values["HOMEPORT_CA_FILE"],
        **more,
    }
    done = subprocess.run(
        PEERS[peer],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        # Neither this tree nor its environment is the system Python's business.
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def signed(service: Service, registration_id: str, key: str) -> str:
    provider = SymmetricKeySecurityProvider(registration_id, key)
    return registration_token(provider, service.id_scope, registration_id, datetime.now(UTC), timedelta(hours=1))


@pytest.fixture
def operator(service: Service) -> ProvisioningServiceClient:
    return ProvisioningServiceClient.create_from_connection_string(service.values["HOMEPORT_DPS_CONNECTION_STRING"])


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.matrix(sdk="AMQP 1.0 libraries", feature="{peer}: symmetric key, PLAIN", transport="amqp")
def test_a_token(service: Service, operator: ProvisioningServiceClient, device_key: str, peer: str) -> None:
    registration_id = unique("peer-key")
    operator.create_or_update(IndividualEnrollment.create(registration_id, symmetric_key(device_key, device_key)))
    token = signed(service, registration_id, device_key)

    answer = register(service, peer, registration_id, token=token)

    assert "result" in answer, answer
    assert answer["result"]["status"] == "assigned"
    assert answer["correlationId"] in {"proton-1", "uamqp-1", 7}


@pytest.mark.parametrize("peer", ["Qpid Proton", "rhea"])
@pytest.mark.matrix(sdk="AMQP 1.0 libraries", feature="{peer}: X.509 without SASL", transport="amqp")
def test_a_certificate(service: Service, operator: ProvisioningServiceClient, tmp_path: Path, peer: str) -> None:
    registration_id = unique("peer-x509")
    certified = make_certificate(registration_id)
    operator.create_or_update(
        IndividualEnrollment.create(registration_id, AttestationMechanism.create_with_x509_client_certs(certified.pem))
    )
    chain, key = certified.write(tmp_path)
    files = peer == "Qpid Proton"

    answer = register(
        service,
        peer,
        registration_id,
        cert=str(chain) if files else certified.pem,
        certKey=str(key) if files else certified.key_pem,
    )

    assert "result" in answer, answer
    assert answer["result"]["status"] == "assigned"


@pytest.mark.parametrize("peer", ["Qpid Proton", "rhea"])
def test_a_stranger_reads_why(service: Service, tmp_path: Path, peer: str) -> None:
    stranger = make_certificate(unique("peer-stranger"))
    chain, key = stranger.write(tmp_path)
    files = peer == "Qpid Proton"

    answer = register(
        service,
        peer,
        "peer-stranger",
        cert=str(chain) if files else stranger.pem,
        certKey=str(key) if files else stranger.key_pem,
    )

    assert answer["error"]["condition"] == "amqp:unauthorized-access"
    assert answer["error"]["body"]["errorCode"] == 401002


@pytest.mark.parametrize("peer", PEERS)
def test_a_wrong_token(service: Service, operator: ProvisioningServiceClient, device_key: str, peer: str) -> None:
    registration_id = unique("peer-wrong")
    operator.create_or_update(IndividualEnrollment.create(registration_id, symmetric_key(device_key, device_key)))
    token = signed(service, registration_id, WRONG_KEY)

    answer = register(service, peer, registration_id, token=token)

    assert "error" in answer


@pytest.mark.matrix(sdk="AMQP 1.0 libraries", feature="rhea: symmetric key, PLAIN", transport="amqp-ws")
def test_rhea_over_a_websocket(service: Service, operator: ProvisioningServiceClient, device_key: str) -> None:
    registration_id = unique("peer-ws")
    operator.create_or_update(IndividualEnrollment.create(registration_id, symmetric_key(device_key, device_key)))
    token = signed(service, registration_id, device_key)

    answer = register(service, "rhea", registration_id, token=token, websocket=True)

    assert "result" in answer, answer
    assert answer["result"]["status"] == "assigned"
    assert answer["correlationId"] == 7
