"""Enrollment as code against a real server, and moving in and out with another Homeport in Azure's place."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.client import AttestationMechanism, HomeportAdminClient, IndividualEnrollment, ProvisioningServiceClient
from tests.certificates import make_certificate
from tests.server import HomeportServer

ADDRESSES = ("127.0.76.1", "127.0.76.2")
OTHER = ("127.0.77.1",)
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OTHER_KEY = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="

SITE = f"""
policies:
  ci: {{rights: [EnrollmentWrite, EnrollmentRead], primaryKey: "{KEY}", secondaryKey: "{OTHER_KEY}"}}
hubs:
  west: {{hostNames: [{ADDRESSES[1]}], allocationWeight: 3}}
enrollmentGroups:
  line-7:
    attestation: {{type: x509, x509: {{signingCertificates: {{primary: {{certificate: "file:root.pem"}}}}}}}}
    iotHubs: [{ADDRESSES[1]}]
    allocationPolicy: Static
    initialTwin: {{tags: {{plant: north}}, properties: {{desired: {{rate: 5}}}}}}
  line-8:
    attestation: {{type: symmetricKey, symmetricKey: {{primaryKey: "{KEY}", secondaryKey: "{OTHER_KEY}"}}}}
enrollments:
  press-1: {{attestation: {{type: symmetricKey}}, deviceId: Press, capabilities: {{iotEdge: false}}}}
  press-2:
    attestation: {{type: x509, x509: {{clientCertificates: {{primary: {{certificate: "file:leaf.pem"}}}}}}}}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HomeportServer]:
    (tmp_path / "root.pem").write_text(make_certificate("root", ca=True).pem)
    (tmp_path / "leaf.pem").write_text(make_certificate("press-2").pem)
    (tmp_path / "site.yaml").write_text(SITE)
    with HomeportServer(tmp_path / "data", ADDRESSES) as running:
        yield running


def clients(server: HomeportServer) -> tuple[ProvisioningServiceClient, HomeportAdminClient]:
    values = server.connection()
    text, ca_file = values["HOMEPORT_DPS_CONNECTION_STRING"], values["HOMEPORT_CA_FILE"]
    return (
        ProvisioningServiceClient.create_from_connection_string(text, ca_file=ca_file),
        HomeportAdminClient.create_from_connection_string(text, ca_file=ca_file),
    )


def test_declared_once_is_declared(server: HomeportServer, tmp_path: Path) -> None:
    site = str(tmp_path / "site.yaml")
    assert server.run("plan", site, "--exit-code", check=False).returncode == 2
    first = json.loads(server.run("apply", site, "--yes", "-o", "json").stdout)
    assert (first["applied"], first["failures"]) == (6, [])
    assert server.run("plan", site, "--exit-code").returncode == 0
    again = json.loads(server.run("apply", site, "--yes", "-o", "json").stdout)
    assert (again["applied"], again["unchanged"]) == (0, 6)
    assert again["undeclared"] == {
        "policies": {"count": 1, "names": ["provisioningserviceowner"]},
        "hubs": {"count": 1, "names": ["hub1"]},
    }


def test_drift_is_seen_and_mended_and_pruning_must_be_asked_for(server: HomeportServer, tmp_path: Path) -> None:
    site = str(tmp_path / "site.yaml")
    server.run("apply", site, "--yes")
    service, admin = clients(server)
    with service, admin:
        drifted = service.get_individual_enrollment("press-1")
        drifted.provisioning_status = "disabled"
        service.create_or_update_individual_enrollment(drifted)
        key = service.get_individual_attestation_mechanism("press-1")
        admin.update_hub("west", allocation_weight=9)
        admin.set_policy_rights("ci", ["EnrollmentRead"])
        told = admin.policy_keys("ci")
        assert (told.primary_key, told.secondary_key) == (KEY, OTHER_KEY)
        service.create_or_update_individual_enrollment(
            IndividualEnrollment(registration_id="stray", attestation=AttestationMechanism.for_symmetric_key())
        )
        group = service.get_enrollment_group("line-8")
        group.attestation = AttestationMechanism.for_symmetric_key(primary_key=OTHER_KEY, secondary_key=OTHER_KEY)
        service.create_or_update_enrollment_group(group)

        planned = server.run("plan", site).stdout
        assert 'provisioningStatus: "disabled" → "enabled"' in planned
        assert "allocationWeight: 9 → 3" in planned
        assert "attestation.symmetricKey.primaryKey: (secret) differs" in planned
        assert "0 to create, 4 to update, 0 to delete; 2 as declared." in planned
        assert OTHER_KEY not in planned
        assert KEY not in planned

        server.run("apply", site, "--yes")
        assert set(admin.policy("ci").rights) == {"EnrollmentRead", "EnrollmentWrite"}
        assert service.get_individual_enrollment("press-1").provisioning_status == "enabled"
        # What is not declared is the service's: its generated key outlives every update.
        assert service.get_individual_attestation_mechanism("press-1") == key
        mended = service.get_group_attestation_mechanism("line-8").symmetric_key
        assert mended is not None
        assert mended.primary_key == KEY
        assert service.get_individual_enrollment("stray")
        (tmp_path / "only.toml").write_text("[enrollments]\n")
        pruned = server.run("apply", str(tmp_path / "only.toml"), "--prune", "--yes").stdout
        assert "3 to delete" in pruned
        assert [each.enrollment_group_id for each in service.query_enrollment_groups()] == ["line-7", "line-8"]
        assert not list(service.query_individual_enrollments())


def test_one_change_that_fails_stops_no_other(server: HomeportServer, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(
        json.dumps(
            {
                "enrollments": {
                    "good": {"attestation": {"type": "symmetricKey"}},
                    "lost": {"attestation": {"type": "symmetricKey"}, "iotHubs": ["nowhere.example"]},
                }
            }
        )
    )
    ended = server.run("apply", str(tmp_path / "bad.json"), "--yes", check=False)
    assert ended.returncode == 1
    assert "enrollment lost: 400" in ended.stderr
    service, admin = clients(server)
    with service, admin:
        assert [each.registration_id for each in service.query_individual_enrollments()] == ["good"]


def test_what_is_exported_declares_the_same(server: HomeportServer, tmp_path: Path) -> None:
    server.run("apply", str(tmp_path / "site.yaml"), "--yes")
    for form in ("toml", "yaml", "json", "jsonl"):
        file = tmp_path / "out" / f"all.{form}"
        file.parent.mkdir(exist_ok=True)
        server.run("export", "files", str(file), "--secrets")
        assert file.stat().st_mode & 0o777 == 0o600
        planned = json.loads(server.run("plan", str(file), "-o", "json").stdout)
        assert (planned["changes"], planned["unchanged"], planned["undeclared"]) == ([], 8, {})
    assert KEY in (tmp_path / "out" / "all.yaml").read_text()
    plain = server.run("export", "files").stdout
    assert KEY not in plain
    assert "-----BEGIN CERTIFICATE-----" in plain


def test_a_table_with_a_wrong_line_is_not_begun(server: HomeportServer, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("registrationId,provisioningStatus\na,enabled\nb\nc,disabled\n")
    ended = server.run("import", "csv", str(table), "--yes", check=False)
    assert ended.returncode == 1
    assert "line 3" in ended.stderr
    done = server.run("import", "csv", str(table), "--yes", "--skip-errors").stdout
    assert "2 created" in done
    service, admin = clients(server)
    with service, admin:
        assert [each.registration_id for each in service.query_individual_enrollments()] == ["a", "c"]


def test_an_import_goes_on_where_it_stopped(server: HomeportServer, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    count = 1203  # more than two rounds, and not a multiple of one
    table.write_text("registrationId\n" + "".join(f"d{number:04}\n" for number in range(count)))
    assert f"{count} created" in server.run("import", "csv", str(table), "--yes").stdout
    assert not (tmp_path / "t.csv.progress").exists()
    service, admin = clients(server)
    with service, admin:
        assert sum(1 for _ in service.query_individual_enrollments(page_size=1000)) == count
        service.delete_individual_enrollment("d0000")
        service.delete_individual_enrollment("d1202")
        changed = service.get_individual_enrollment("d1201")
        changed.device_id = "other"
        service.create_or_update_individual_enrollment(changed)
    # As a run would have left it that was stopped behind line 1001.
    from homeport.ascode.checkpoint import Checkpoint

    Checkpoint.of(table).advance(1001)
    ended = server.run("import", "csv", str(table), "--yes", check=False)
    assert "1000 done before" in ended.stdout
    assert "1 created, 201 there already" in ended.stdout
    assert "line 1203 d1201: it exists and differs" in ended.stderr
    replaced = server.run("import", "csv", str(table), "--yes", "--restart", "--existing", "replace").stdout
    assert f"1 created, {count - 2} there already, 0 left as they were, 1 replaced" in replaced


def test_out_of_another_service_and_back(server: HomeportServer, tmp_path: Path) -> None:
    server.run("apply", str(tmp_path / "site.yaml"), "--yes")
    with HomeportServer(tmp_path / "azure", OTHER) as azure:
        values = azure.connection()
        there = (
            "--connection-string",
            values["HOMEPORT_DPS_CONNECTION_STRING"],
            "--ca-file",
            values["HOMEPORT_CA_FILE"],
        )
        # Its hub has another name.
        to = ("--hub", f"{ADDRESSES[1]}={OTHER[0]}")
        back = ("--hub", f"{OTHER[0]}={ADDRESSES[1]}")
        assert "4 created" in server.run("export", "azure", *there, *to, "--yes").stdout
        assert "4 there already" in server.run("export", "azure", *there, *to, "--yes").stdout

        server.run("apply", str(empty(tmp_path)), "--prune", "--yes")
        partly = server.run("import", "azure", *there, *back, "--dry-run")
        assert re.search(r"left behind line-7: no file has its certificate", partly.stderr)
        assert "1 enrollment groups and 1 enrollments" in partly.stdout
        whole = server.run("import", "azure", *there, *back, "--certificates", str(tmp_path), "--yes").stdout
        assert "4 created" in whole
        # Everything is as it was declared, keys and certificates included.
        planned = json.loads(server.run("plan", str(tmp_path / "site.yaml"), "-o", "json").stdout)
        assert planned["changes"] == []


def empty(folder: Path) -> Path:
    file = folder / "empty.toml"
    file.write_text("[enrollments]\n[enrollmentGroups]\n")
    return file


AUTHORITIES = """
caCertificates:
  plant-root: {certificate: "file:root.pem", revocation: {policy: require, crlUrl: "http://127.0.0.1:9/crl"}}
  maker: {certificate: "file:maker.pem"}
enrollmentGroups:
  by-name: {attestation: {type: x509, x509: {caReferences: {primary: plant-root}}}}
  chips: {attestation: {type: tpm, tpm: {endorsementCaReferences: [maker], endorsementKeyHashes: [DIGEST]}}}
"""


def test_authorities_are_declared_and_exported(server: HomeportServer, tmp_path: Path) -> None:
    (tmp_path / "maker.pem").write_text(make_certificate("maker", ca=True).pem)
    site = tmp_path / "authorities.yaml"
    # Written as the registration id that a device makes of it; the service answers in hex.
    site.write_text(AUTHORITIES.replace("DIGEST", "a" * 52))
    first = json.loads(server.run("apply", str(site), "--yes", "-o", "json").stdout)
    assert (first["applied"], first["failures"]) == (4, [])
    assert server.run("plan", str(site), "--exit-code").returncode == 0

    service, admin = clients(server)
    with service, admin:
        admin.set_ca_certificate_verified("plant-root", verified=False)
        admin.set_revocation("plant-root", policy="off")
        planned = server.run("plan", str(site), "--exit-code", check=False)
        assert planned.returncode == 2
        assert "isVerified" in planned.stdout
        assert "revocation.policy" in planned.stdout
        server.run("apply", str(site), "--yes")
        mended = admin.get_ca_certificate("plant-root")
        assert (mended.is_verified, mended.revocation.policy) == (True, "require")

    exported = tmp_path / "exported.json"
    server.run("export", "files", str(exported))
    assert server.run("plan", str(exported), "--exit-code").returncode == 0
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        "caCertificates: {x: {certificate: nonsense!, revocation: {policy: maybe, when: now}, isVerified: 1}}"
    )
    refused = server.run("plan", str(wrong), check=False)
    assert refused.returncode != 0
    for words in ("certificate: ", "policy is none of", "revocation.when", "isVerified has the wrong type"):
        assert words in refused.stderr
