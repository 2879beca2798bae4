"""Certificate authorities the way an operator has them: OpenSSL makes certificates and lists, `homeport` rules."""

import functools
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from homeport.client import (
    NO_RETRY,
    AttestationMechanism,
    BadRequestError,
    EnrollmentGroup,
    HomeportAdminClient,
    ProvisioningDeviceClient,
    ProvisioningServiceClient,
    ProvisioningServiceError,
    RegistrationError,
    UnauthorizedError,
    X509SecurityProvider,
)
from tests.openssl_ca import OpensslCa, openssl
from tests.server import HomeportServer

ADDRESS = "127.0.75.1"
CRL_PORT = 18080
OCSP_PORT = 18081


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path_factory.mktemp("authorities") / "data", (ADDRESS,)) as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def values(server: HomeportServer) -> dict[str, str]:
    return server.connection()


@pytest.fixture(scope="module")
def operator(values: dict[str, str]) -> Iterator[ProvisioningServiceClient]:
    with ProvisioningServiceClient.create_from_connection_string(
        values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


@pytest.fixture(scope="module")
def admin(values: dict[str, str]) -> Iterator[HomeportAdminClient]:
    with HomeportAdminClient.create_from_connection_string(
        values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Path]:
    """Serve a folder, as an authority serves its list."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", CRL_PORT), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder
        running.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


def register(values: dict[str, str], files: tuple[Path, Path]) -> str:
    """Register over MQTT and return the hub."""
    provider = X509SecurityProvider(*files)
    with ProvisioningDeviceClient.create(
        values["HOMEPORT_GLOBAL_ENDPOINT"],
        values["HOMEPORT_ID_SCOPE"],
        provider,
        ca_file=values["HOMEPORT_CA_FILE"],
        retry=NO_RETRY,
    ) as device:
        return device.register().assigned_hub


def group(operator: ProvisioningServiceClient, group_id: str, primary: str, secondary: str | None = None) -> None:
    attestation = AttestationMechanism.for_x509_ca_references(primary, secondary)
    enrollment = EnrollmentGroup(enrollment_group_id=group_id, attestation=attestation)
    operator.create_or_update_enrollment_group(enrollment, force=True)


def why(server: HomeportServer, registration_id: str) -> str:
    return server.run("why", registration_id, "-n", "1").stdout


def test_possession_is_proven_and_authorities_are_rolled(
    server: HomeportServer, values: dict[str, str], operator: ProvisioningServiceClient, tmp_path: Path
) -> None:
    old, new = OpensslCa(tmp_path / "old", "Factory CA 1"), OpensslCa(tmp_path / "new", "Factory CA 2")
    # Devices send their intermediate, or it is uploaded: here it is sent.
    line = OpensslCa(tmp_path / "line", "Line 4", issuer=old)

    server.run("certificate", "upload", "factory-1", str(old.certificate))
    with pytest.raises(ProvisioningServiceError, match="'factory-1', which is not verified"):
        group(operator, "rolling", "factory-1")
    with pytest.raises(ProvisioningServiceError, match="'nothing', which does not exist"):
        group(operator, "rolling", "nothing")

    code = server.run("certificate", "code", "factory-1").stdout.split()[2]
    proof, _ = old.issue(code)
    stranger, _ = new.issue(code)
    refused = server.run("certificate", "verify", "factory-1", str(stranger), check=False)
    assert refused.returncode == 1
    assert "is not issued by" in refused.stderr
    server.run("certificate", "verify", "factory-1", str(proof))
    group(operator, "rolling", "factory-1")
    assert register(values, line.issue("rolled-1")) == ADDRESS

    # The next authority: refused before, then both at once, then the first one is taken away.
    with pytest.raises(UnauthorizedError):
        register(values, new.issue("rolled-2"))
    server.run("certificate", "upload", "factory-2", str(new.certificate), "--verified")
    with pytest.raises(UnauthorizedError):
        register(values, new.issue("rolled-2"))
    assert "the CA certificate 'factory-2' has a name of this chain, but no group refers to it" in why(
        server, "rolled-2"
    )
    group(operator, "rolling", "factory-1", "factory-2")
    assert register(values, line.issue("rolled-1")) == ADDRESS
    assert register(values, new.issue("rolled-2")) == ADDRESS
    group(operator, "rolling", "factory-2")
    with pytest.raises(UnauthorizedError):
        register(values, line.issue("rolled-1"))
    assert register(values, new.issue("rolled-2")) == ADDRESS

    kept = server.run("certificate", "delete", "factory-2", check=False)
    assert kept.returncode == 1
    assert "the group 'rolling'" in kept.stderr
    server.run("certificate", "delete", "factory-1")
    listed = json.loads(server.run("certificate", "list", "-o", "json").stdout)
    assert [(one["name"], one["groups"]) for one in listed] == [("factory-2", ["rolling"])]


def test_an_uploaded_list_takes_devices_and_intermediates_back(
    server: HomeportServer,
    values: dict[str, str],
    operator: ProvisioningServiceClient,
    admin: HomeportAdminClient,
    tmp_path: Path,
) -> None:
    root = OpensslCa(tmp_path / "root", "Plant root")
    line = OpensslCa(tmp_path / "line", "Plant line", issuer=root)
    admin.upload_ca_certificate("plant-root", root.certificate.read_text(), verified=True)
    admin.upload_ca_certificate("plant-line", line.certificate.read_text(), verified=True)
    group(operator, "plant", "plant-root")
    good, bad = line.issue("plant-good"), line.issue("plant-bad")
    assert register(values, bad) == ADDRESS

    line.revoke(bad[0])
    printed = server.run("certificate", "crl", "plant-line", str(line.crl())).stdout
    assert "number 1, 1 revoked" in printed
    with pytest.raises(UnauthorizedError):
        register(values, bad)
    reason = why(server, "plant-bad")
    assert "✗ revocation" in reason
    assert "(keyCompromise), says CRL number 1 of" in reason
    assert register(values, good) == ADDRESS

    # Nothing is known of the intermediate itself, which is enough until the root's policy says otherwise.
    server.run("certificate", "revocation", "plant-root", "--policy", "require")
    with pytest.raises(ProvisioningServiceError) as unknown:
        register(values, good)
    assert unknown.value.status == 503
    assert "there is no CRL of 'CN=Plant root'" in why(server, "plant-good")
    admin.upload_crl("plant-root", root.crl().read_bytes())
    assert register(values, good) == ADDRESS

    # A list that is played back changes nothing; a newer one takes the whole line back.
    first = (root.folder / "ca.crl").read_bytes()
    root.revoke(line.certificate, "cACompromise")
    admin.upload_crl("plant-root", root.crl().read_bytes())
    (root.folder / "first.crl").write_bytes(first)
    replayed = server.run("certificate", "crl", "plant-root", str(root.folder / "first.crl"), check=False)
    assert replayed.returncode == 1
    assert "is older than the one that is known" in replayed.stderr
    with pytest.raises(UnauthorizedError):
        register(values, good)
    assert "'CN=Plant line'" in why(server, "plant-good")

    foreign = OpensslCa(tmp_path / "foreign", "Plant root")
    with pytest.raises(BadRequestError, match="its signature does not hold"):
        admin.upload_crl("plant-root", foreign.crl().read_bytes())


def test_lists_are_fetched_ahead(
    server: HomeportServer,
    values: dict[str, str],
    operator: ProvisioningServiceClient,
    admin: HomeportAdminClient,
    tmp_path: Path,
    web: Path,
) -> None:
    address = f"http://127.0.0.1:{CRL_PORT}/fetched.crl"
    root = OpensslCa(tmp_path / "root", "Fetched root", crl_url=address)
    admin.upload_ca_certificate("fetched", root.certificate.read_text(), verified=True, revocation="require")
    group(operator, "fetched", "fetched")
    good, bad = root.issue("fetched-good"), root.issue("fetched-bad")
    root.revoke(bad[0], "superseded")
    server.run("certificate", "revocation", "fetched", "--crl-url", address)
    _until(lambda: admin.get_ca_certificate("fetched").crl_problem is not None)
    with pytest.raises(ProvisioningServiceError) as unknown:
        register(values, good)
    assert unknown.value.status == 503
    assert "status 404" in why(server, "fetched-good")

    (web / "fetched.crl").write_bytes(root.crl().read_bytes())
    # The operator need not wait for the next try; and now the certificates say where the list is.
    server.run("certificate", "revocation", "fetched", "--crl-url", "", "--distribution-points")
    with pytest.raises(ProvisioningServiceError):
        register(values, good)
    _until(lambda: admin.get_ca_certificate("fetched").crl is not None)
    assert register(values, good) == ADDRESS
    with pytest.raises(UnauthorizedError):
        register(values, bad)
    assert "(superseded)" in why(server, "fetched-bad")


@pytest.mark.parametrize("delegated", [True, False])
def test_a_responder_is_asked(
    server: HomeportServer,
    values: dict[str, str],
    operator: ProvisioningServiceClient,
    tmp_path: Path,
    admin: HomeportAdminClient,
    delegated: bool,
) -> None:
    # One that failed is left alone for a while, so each has its own.
    port = OCSP_PORT + delegated
    name = f"asked-{delegated}".lower()
    root = OpensslCa(tmp_path / "root", f"Asked root {delegated}", ocsp_url=f"http://127.0.0.1:{port}/")
    admin.upload_ca_certificate(name, root.certificate.read_text(), verified=True, revocation="require")
    group(operator, name, name)
    good, bad, late = root.issue(f"{name}-good"), root.issue(f"{name}-bad"), root.issue(f"{name}-late")
    root.revoke(bad[0], "cessationOfOperation")
    with pytest.raises(ProvisioningServiceError):
        register(values, good)
    server.run("certificate", "revocation", name, "--ocsp")
    with root.responder(port, delegated=delegated):
        assert register(values, good) == ADDRESS
        assert "is good by the OCSP answer of" in why(server, f"{name}-good")
        with pytest.raises(UnauthorizedError):
            register(values, bad)
        assert "(cessationOfOperation), says the OCSP answer" in why(server, f"{name}-bad")
    # The answer is kept as long as it says; who was not asked about has to wait.
    assert register(values, good) == ADDRESS
    with pytest.raises(ProvisioningServiceError) as unknown:
        register(values, late)
    assert unknown.value.status == 503
    assert "cannot be reached" in why(server, f"{name}-late")


def test_one_device_of_a_group_is_shut_out(
    server: HomeportServer,
    values: dict[str, str],
    operator: ProvisioningServiceClient,
    admin: HomeportAdminClient,
    tmp_path: Path,
) -> None:
    root = OpensslCa(tmp_path / "root", "Shut out root")
    admin.upload_ca_certificate("shut", root.certificate.read_text(), verified=True)
    group(operator, "shut", "shut")
    one, other = root.issue("shut-one"), root.issue("shut-other")
    assert register(values, one) == ADDRESS
    server.run("device", "disable", "shut-one")
    with pytest.raises((UnauthorizedError, RegistrationError)):
        register(values, one)
    assert "an individual enrollment shuts out 'shut-one': it is disabled" in why(server, "shut-one")
    assert register(values, other) == ADDRESS
    assert "through its group" in server.run("device", "enable", "shut-one").stdout
    assert register(values, one) == ADDRESS
    assert server.run("device", "enable", "shut-one", check=False).returncode == 1


def test_what_ends_soon_is_seen(server: HomeportServer, admin: HomeportAdminClient, tmp_path: Path) -> None:
    assert server.run("certificate", "expiring").returncode == 0
    short = tmp_path / "short.pem"
    openssl(
        *("req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "short.key", "-out", short),
        *("-subj", "/CN=Short", "-days", "20", "-addext", "basicConstraints=critical,CA:TRUE"),
    )
    uploaded = server.run("certificate", "upload", "short", str(short), "--verified")
    assert "expires in 19 days" in uploaded.stderr
    found = server.run("certificate", "expiring", check=False)
    assert found.returncode == 3
    assert "CA certificate" in found.stdout
    assert server.run("certificate", "expiring", "--days", "7").returncode == 0
    assert [one.name for one in admin.expiring_certificates(days=30).certificates] == ["short"]


def _until(true: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not true():
        assert monotonic() < deadline
        sleep(0.05)
