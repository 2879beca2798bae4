"""Devices whose certificates end at a CA of the hub: judged, connected over each transport, cut off (hub.md 2.5)."""

import ssl
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from homeport.errors import Code, HomeportError
from homeport.hub.authentication import (
    Accepted,
    Audience,
    CertificateEvidence,
    CertificatePath,
    Reason,
    Refused,
    judge_device,
)
from homeport.hub.certificate_proof import NO_TRUST, HubTrust
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import CaAuthentication, DeviceIdentity, DeviceStatus, HubCaCertificate
from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import Accepted as Taken
from homeport.proto.amqp import Condition
from homeport.security.callers import SYSTEM
from homeport.security.x509 import Certificate
from tests.unit.hub.amqp_client import connected, refusal, sending, text
from tests.unit.hub.clients import Device, RestClient, dialled
from tests.unit.hub.conftest import Line, ManualClock, settle, until
from tests.unit.security.certificates import NOW, YEAR, Issued, issue, rsa_key

ROOT = issue("Root")
BETWEEN = ROOT.ca("Between")
LEAF = issue("d1", BETWEEN, ca=None)
EVENTS = "devices/d1/messages/events/"
DEVICE = IdentityWrite(device_id="d1", authentication=CaAuthentication())


def identity(device_id: str = "d1", status: DeviceStatus = DeviceStatus.ENABLED) -> DeviceIdentity:
    return DeviceIdentity(
        device_id=device_id, generation_id="1", etag="e", authentication=CaAuthentication(), status=status
    )


def authority(issued: Issued, *, verified: bool = True) -> HubCaCertificate:
    return HubCaCertificate(
        name=issued.certificate.common_name or "",
        certificate=issued.certificate.der,
        is_verified=verified,
        etag="e",
        created_at=NOW,
        updated_at=NOW,
    )


_AUDIENCE = Audience(hosts=("hub.example.com",), policies=())
TRUST = HubTrust.of([authority(ROOT)])


def judged(*chain: Certificate, trust: HubTrust = TRUST, of: DeviceIdentity | None = None) -> Accepted | Refused:
    return judge_device(_AUDIENCE, of or identity(), CertificateEvidence(chain=chain), NOW, trust=trust)


def test_a_chain_to_a_verified_authority() -> None:
    verdict = judged(LEAF.certificate, BETWEEN.certificate)
    assert isinstance(verdict, Accepted)
    assert isinstance(verdict.proof, CertificatePath)
    assert verdict.proof.path.anchor == ROOT.certificate
    # Root sent along, in any order.
    assert isinstance(judged(LEAF.certificate, ROOT.certificate, BETWEEN.certificate), Accepted)


def test_an_uploaded_intermediate_ends_chains_and_completes_them() -> None:
    both = HubTrust.of([authority(ROOT), authority(BETWEEN)])
    verdict = judged(LEAF.certificate, trust=both)
    assert isinstance(verdict, Accepted)
    assert isinstance(verdict.proof, CertificatePath)
    assert verdict.proof.path.anchor == BETWEEN.certificate
    # Not verified it proves nothing, but it stands in for the one that the device did not send.
    verdict = judged(LEAF.certificate, trust=HubTrust.of([authority(ROOT), authority(BETWEEN, verified=False)]))
    assert isinstance(verdict, Accepted)
    assert isinstance(verdict.proof, CertificatePath)
    assert verdict.proof.path.anchor == ROOT.certificate


def test_a_module_has_its_device_in_its_name() -> None:
    module = BETWEEN.leaf("d1/m")
    assert isinstance(judged(module, BETWEEN.certificate, of=identity("d1/m")), Accepted)
    assert isinstance(judged(module, BETWEEN.certificate), Refused)


NO_CA, SHORT = issue("No CA", ROOT, ca=False), ROOT.ca("Short", path_length=0)
BELOW_SHORT = SHORT.ca("Below")
OLD = ROOT.ca("Old", ends=NOW - timedelta(days=1))


@pytest.mark.parametrize(
    ("chain", "trust", "reason", "told"),
    [
        ((LEAF.certificate, BETWEEN.certificate), NO_TRUST, Reason.NO_HUB_CA, "no verified CA certificate"),
        (
            (LEAF.certificate, BETWEEN.certificate),
            HubTrust.of([authority(ROOT, verified=False)]),
            Reason.NO_HUB_CA,
            "'Root' is not verified yet",
        ),
        (
            (LEAF.certificate, BETWEEN.certificate),
            HubTrust.of([authority(issue("Other")), authority(ROOT, verified=False)]),
            Reason.NO_HUB_CA,
            "'Root' is of that name, but not verified",
        ),
        ((LEAF.certificate,), TRUST, Reason.NO_HUB_CA, "the device did not send it"),
        ((issue("d1", ca=None).certificate,), TRUST, Reason.NO_HUB_CA, "the chain ends at"),
        ((BETWEEN.leaf("D1"), BETWEEN.certificate), TRUST, Reason.WRONG_COMMON_NAME, "'D1'"),
        ((issue("d1", issue("Root"), ca=None).certificate,), TRUST, Reason.NO_HUB_CA, "with another key"),
        ((ROOT.leaf("d1", ends=NOW - timedelta(hours=1)),), TRUST, Reason.EXPIRED, "expired"),
        ((ROOT.leaf("d1", starts=NOW + timedelta(hours=1)),), TRUST, Reason.NOT_YET_VALID, "not valid before"),
        ((OLD.leaf("d1"), OLD.certificate), TRUST, Reason.EXPIRED, "expired"),
        ((NO_CA.leaf("d1"), NO_CA.certificate), TRUST, Reason.BAD_CHAIN, "CA:TRUE"),
        (
            (BELOW_SHORT.leaf("d1"), BELOW_SHORT.certificate, SHORT.certificate),
            TRUST,
            Reason.BAD_CHAIN,
            "allows 0 CA certificates below it",
        ),
        ((ROOT.leaf("d1", key=rsa_key(1024)),), TRUST, Reason.BAD_CHAIN, "too weak"),
    ],
)
def test_what_is_refused_and_why(chain: tuple[Certificate, ...], trust: HubTrust, reason: Reason, told: str) -> None:
    verdict = judged(*chain, trust=trust)
    assert isinstance(verdict, Refused)
    assert verdict.reason is reason
    assert told.replace("'", "") in verdict.explanation.replace("'", "").replace('"', "")


def test_a_disabled_device_is_refused_with_a_good_chain() -> None:
    verdict = judged(LEAF.certificate, BETWEEN.certificate, of=identity(status=DeviceStatus.DISABLED))
    assert isinstance(verdict, Refused)
    assert verdict.reason is Reason.DISABLED


# ---------------------------------------------------------------- the administrator


def pem(issued: Issued) -> str:
    return issued.certificate.parsed.public_bytes(Encoding.PEM).decode()


async def test_proof_of_possession(hub: ServedHub) -> None:
    certificates = hub.ca_certificates
    stored = (await certificates.put("root", pem(ROOT), is_verified=None, if_match=None, by=SYSTEM)).record
    assert not stored.is_verified
    with pytest.raises(HomeportError, match="no verification code"):
        await certificates.verify("root", pem(ROOT), if_match=None, by=SYSTEM)
    code = (await certificates.new_code("ROOT", if_match=stored.etag, by=SYSTEM)).record.verification_code
    assert code is not None
    for proof, told in ((issue(code), "not issued by"), (issue("other", ROOT), "common name")):
        with pytest.raises(HomeportError, match=told):
            await certificates.verify("root", pem(proof), if_match=None, by=SYSTEM)
    assert (await hub.authorities.trust()).verified == frozenset()
    with pytest.raises(HomeportError) as stale:
        await certificates.verify("root", pem(issue(code, ROOT)), if_match=stored.etag, by=SYSTEM)
    assert stale.value.code is Code.PRECONDITION_FAILED
    record = (await certificates.verify("root", pem(issue(code, ROOT)), if_match=None, by=SYSTEM)).record
    assert (record.is_verified, record.verification_code) == (True, None)
    assert (await hub.authorities.trust()).verified == {ROOT.certificate.der}
    # The same again stays verified, another one has to be proven anew.
    again = await certificates.put("root", pem(ROOT), is_verified=None, if_match="*", by=SYSTEM)
    assert again.record.is_verified
    other = await certificates.put("root", pem(BETWEEN), is_verified=None, if_match=again.record.etag, by=SYSTEM)
    assert not other.record.is_verified


@pytest.mark.parametrize(
    ("name", "certificate", "told"),
    [
        ("a b", pem(ROOT), "1 to 64 letters"),
        ("..", pem(ROOT), "1 to 64 letters"),
        ("root", "nonsense", "cannot be taken"),
        ("root", pem(issue("leaf", ca=None)), "not a CA certificate"),
        ("root", pem(issue("old", ends=NOW - YEAR / 2)), "has expired"),
    ],
)
async def test_what_is_no_authority(hub: ServedHub, name: str, certificate: str, told: str) -> None:
    with pytest.raises(HomeportError, match=told) as refused:
        await hub.ca_certificates.put(name, certificate, is_verified=True, if_match=None, by=SYSTEM)
    assert refused.value.code is Code.INVALID_REQUEST


# ---------------------------------------------------------------- conversations


async def trusting(hub: ServedHub) -> None:
    await hub.ca_certificates.put("root", pem(ROOT), is_verified=True, if_match=None, by=SYSTEM)
    await hub.registry.create(DEVICE)


def context(line: Line, folder: Path, leaf: Issued = LEAF, *above: Issued) -> ssl.SSLContext:
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_text("".join(map(pem, (leaf, *(above or (BETWEEN,))))))
    key.write_bytes(leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    made = line.make_context()
    made.load_cert_chain(chain, key)
    return made


async def end_of(device: Device) -> None:
    assert await device.hear() is None


async def test_mqtt_and_the_end_of_an_authority(hub: ServedHub, mqtt: Line, tmp_path: Path) -> None:
    await trusting(hub)
    known = context(mqtt, tmp_path)
    async with dialled(mqtt.port, known) as device:
        assert (await device.connect("d1", None)).return_code == 0
        await device.publish(EVENTS)
        await hub.ca_certificates.delete("root", if_match="*", by=SYSTEM)
        await end_of(device)
    async with dialled(mqtt.port, known) as device:
        assert (await device.connect("d1", None)).return_code == 5
    await hub.ca_certificates.put("root", pem(ROOT), is_verified=True, if_match=None, by=SYSTEM)
    async with dialled(mqtt.port, known) as device:
        assert (await device.connect("d2", None)).return_code == 5
    async with dialled(mqtt.port, known) as device:
        assert (await device.connect("d1", None)).return_code == 0
        off = IdentityWrite(device_id="d1", authentication=CaAuthentication(), status=DeviceStatus.DISABLED)
        await hub.registry.update(off, expected_etag=None)
        await end_of(device)


async def test_an_authority_that_another_process_removed(
    hub: ServedHub, mqtt: Line, clock: ManualClock, tmp_path: Path
) -> None:
    await trusting(hub)
    async with dialled(mqtt.port, context(mqtt, tmp_path)) as device:
        assert (await device.connect("d1", None)).return_code == 0
        # What a hint would have told is found by looking.
        await hub.ca_certificates._store.delete("root", expected_etag=None)
        clock.pass_seconds(3)
        await end_of(device)


async def test_an_authority_that_stays_keeps_its_devices(hub: ServedHub, mqtt: Line, tmp_path: Path) -> None:
    await trusting(hub)
    other = pem(issue("Other"))
    await hub.ca_certificates.put("other", other, is_verified=True, if_match=None, by=SYSTEM)
    async with dialled(mqtt.port, context(mqtt, tmp_path)) as device:
        assert (await device.connect("d1", None)).return_code == 0
        await hub.ca_certificates.delete("other", if_match="*", by=SYSTEM)
        await settle()
        await device.publish(EVENTS)


async def test_amqp(hub: ServedHub, amqp: Line, tmp_path: Path) -> None:
    await trusting(hub)
    known = context(amqp, tmp_path)
    async with connected(Line(amqp.port, lambda: known), mechanisms=()) as client:
        await client.open()
        await client.begin()
        link = await sending(client, EVENTS)
        client.message(link, text("x"))
        assert isinstance(await client.outcome(), Taken)
        client.sender("devices/d2/messages/events")
        assert (await refusal(client)).condition == Condition.UNAUTHORIZED_ACCESS
        await hub.ca_certificates.delete("root", if_match="*", by=SYSTEM)
        await until(lambda: len(hub.sessions) == 0)


async def test_https(hub: ServedHub, rest: RestClient, tmp_path: Path, server_identity: object) -> None:
    await trusting(hub)
    chain_pem: bytes = server_identity.chain_pem  # type: ignore[attr-defined]  # tests.net.certs.Identity

    def trusted() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_verify_locations(cadata=chain_pem.decode())
        return made

    known = context(Line(0, trusted), tmp_path)
    url = f"https://localhost:{rest.port}/devices/d1/messages/events?api-version=2021-04-12"
    async with httpx.AsyncClient(verify=known) as client:
        assert (await client.post(url, content=b"x")).status_code == 204
        await hub.ca_certificates.delete("root", if_match="*", by=SYSTEM)
        assert (await client.post(url, content=b"x")).status_code == 401
