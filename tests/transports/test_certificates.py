"""Certificate authorities through the whole service: administration, revocation at registration, expiry."""

import json
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from homeport.app.ops import Metrics
from homeport.dps.attempts import RefusedError
from homeport.dps.engine import Registered
from homeport.dps.expiry import ExpiryWatch
from homeport.dps.frontends.admin import AdminRequest, CertificatesResource
from homeport.dps.model import (
    CaReferences,
    CertificateEvidence,
    ClientCertificates,
    RevocationPolicy,
    RevocationSettings,
    SigningCertificates,
)
from homeport.dps.reply import Reply, answer
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller, CallerKind
from homeport.security.x509 import Certificate
from tests.transports.world import EPOCH, MAX_CA_CERTIFICATES, World, claim, context, new_world
from tests.unit.security.certificates import Issued, issue
from tests.unit.security.test_crl import crl
from tests.unit.security.test_ocsp import answer as ocsp_answer

CALLER = Caller(kind=CallerKind.ADMINISTRATOR, name="anna", tracking_id="t")
DAY = timedelta(days=1)
CRL_URL = "http://ca.example/crl"
OCSP_URL = "http://ca.example/ocsp"
POINT = (
    x509.CRLDistributionPoints([x509.DistributionPoint([x509.UniformResourceIdentifier(CRL_URL)], None, None, None)]),
    False,
)
RESPONDER = (
    x509.AuthorityInformationAccess(
        [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(OCSP_URL))]
    ),
    False,
)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world() as made:
        yield made


async def call(world: World, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    resource = next(one for one in world.admin if isinstance(one, CertificatesResource))
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    name, _, query = path.partition("?")
    request = AdminRequest(
        path=tuple(name.split("/")),
        parameters=dict(pair.split("=") for pair in query.split("&") if pair),
        headers={key.replace("_", "-"): value for key, value in headers.items()},
        body=content,
        tracking_id="t",
        caller=CALLER,
    )
    _, run = resource.calls(request)[method]
    return await answer(run(), "t", world.clock)


async def document(world: World, method: str, path: str, body: Any = None, **headers: str) -> Any:
    reply = await call(world, method, path, body, **headers)
    assert reply.status < 300, reply.body
    return json.loads(reply.body) if reply.body else None


async def refused(world: World, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    reply = await call(world, method, path, body, **headers)
    assert reply.code is not None
    return reply.code, json.loads(reply.body)["message"]


def pem(issued: Issued) -> str:
    return issued.certificate.parsed.public_bytes(Encoding.PEM).decode()


async def trust(world: World, authority: Issued, name: str = "root", **settings: Any) -> None:
    await world.certificates.put(
        name, pem(authority), is_verified=True, revocation=RevocationSettings(**settings), if_match=None
    )


async def register(world: World, *chain: Certificate) -> Registered:
    name = chain[0].common_name or ""
    evidence = CertificateEvidence(chain=tuple(one.der for one in chain))
    result = await world.engine.register(claim(name), evidence, None, context())
    assert isinstance(result, Registered)
    return result


async def turned_away(world: World, *chain: Certificate) -> RefusedError:
    with pytest.raises(RefusedError) as error:
        await register(world, *chain)
    return error.value


def revoked_crl(authority: Issued, *certificates: Certificate, **options: Any) -> bytes:
    entries = [(one.parsed.serial_number, EPOCH, x509.ReasonFlags.superseded) for one in certificates]
    return crl(authority, *entries, issuer=authority.certificate.common_name or "", **options)


# ---------------------------------------------------------------- administration


async def test_the_life_of_a_ca_certificate(world: World) -> None:
    root = issue("Root")
    assert await document(world, "GET", "certificates") == []
    made = await document(world, "PUT", "certificates/Factory.1", {"certificate": pem(root)})
    assert made["name"] == "Factory.1"
    assert made["subject"] == made["issuer"] == "CN=Root"
    assert (made["isVerified"], made["groups"]) == (False, [])
    assert made["thumbprint"] == root.certificate.info.sha1_thumbprint
    assert made["revocation"] == {"policy": "prefer", "useDistributionPoints": False, "useOcsp": False}
    assert "verificationCode" not in made
    exists = await refused(world, "PUT", "certificates/factory.1", {"certificate": pem(root)})
    assert exists[0] == Code.CA_CERTIFICATE_EXISTS

    coded = await document(world, "POST", "certificates/factory.1/generateVerificationCode", if_match=made["etag"])
    code = coded["verificationCode"]
    assert len(code) == 48
    stale = await refused(world, "POST", "certificates/factory.1/generateVerificationCode", if_match=made["etag"])
    assert stale[0] == Code.PRECONDITION_FAILED
    for proof, words in (
        (root.ca("other"), "'other'; it must be the verification code"),
        (issue("Root").ca(code), "is not issued by 'CN=Root' with its key"),
        (root.ca(code, ends=EPOCH - DAY), "expired"),
    ):
        wrong = await refused(world, "POST", "certificates/Factory.1/verify", {"certificate": pem(proof)})
        assert wrong[0] == Code.INVALID_REQUEST
        assert words in wrong[1]
    proven = await document(world, "POST", "certificates/Factory.1/verify", {"certificate": pem(root.ca(code))})
    assert proven["isVerified"]
    assert "verificationCode" not in proven
    again = await refused(world, "POST", "certificates/Factory.1/verify", {"certificate": pem(root.ca(code))})
    assert "no verification code" in again[1]

    # The same certificate stays verified; another one of that name has to be verified again.
    same = await document(world, "PUT", "certificates/Factory.1", {"certificate": pem(root)}, if_match="*")
    assert same["isVerified"]
    new = {"certificate": pem(issue("New"))}
    other = await document(world, "PUT", "certificates/Factory.1", new, if_match=same["etag"])
    assert (other["isVerified"], other["created"]) == (False, made["created"])
    said = await document(world, "PUT", "certificates/Factory.1", new | {"isVerified": True}, if_match="*")
    assert said["isVerified"]
    taken = await document(world, "PUT", "certificates/Factory.1", new | {"isVerified": False}, if_match="*")
    assert not taken["isVerified"]
    mine = await document(world, "PATCH", "certificates/Factory.1", {"isVerified": True})
    assert mine["isVerified"]
    assert (await refused(world, "DELETE", "certificates/Factory.1", if_match="old"))[0] == Code.PRECONDITION_FAILED
    await document(world, "DELETE", "certificates/Factory.1", if_match=mine["etag"])
    assert (await refused(world, "GET", "certificates/Factory.1"))[0] == Code.NOT_FOUND


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("a b", {"certificate": pem(issue("Root"))}, "letters, digits"),
        ("..", {"certificate": pem(issue("Root"))}, "letters, digits"),
        ("x", {"certificate": "no Base64!"}, "not valid Base64"),
        ("x", {"certificate": pem(issue("Leaf", ca=False))}, "CA:TRUE"),
        ("x", {"certificate": pem(issue("Sign", cert_sign=False))}, "certificate signing"),
        ("x", {"certificate": pem(issue("Past", ends=EPOCH - DAY))}, "has expired"),
        ("x", {}, "certificate"),
        ("x", {"certificate": pem(issue("Root")), "revocation": {"policy": "maybe"}}, "require, prefer, off"),
        ("x", {"certificate": pem(issue("Root")), "revocation": {"crlUrl": "file:///x"}}, "http or https"),
    ],
)
async def test_what_is_no_authority_is_refused(world: World, name: str, body: dict[str, Any], words: str) -> None:
    code, message = await refused(world, "PUT", f"certificates/{name}", body)
    assert code == Code.INVALID_REQUEST
    assert words in message


async def test_there_is_a_limit(world: World) -> None:
    for number in range(MAX_CA_CERTIFICATES):
        await trust(world, issue(f"Root {number}"), f"root-{number}")
    code, message = await refused(world, "PUT", "certificates/more", {"certificate": pem(issue("More"))})
    assert code == Code.INVALID_REQUEST
    assert str(MAX_CA_CERTIFICATES) in message


async def test_settings_that_are_left_out_stay(world: World) -> None:
    await trust(world, issue("Root"))
    for change, expected in (
        ({"policy": "Require"}, {"policy": "require", "useDistributionPoints": False, "useOcsp": False}),
        (
            {"crlUrl": CRL_URL, "useOcsp": True},
            {"policy": "require", "crlUrl": CRL_URL, "useDistributionPoints": False, "useOcsp": True},
        ),
        ({"crlUrl": None}, {"policy": "require", "useDistributionPoints": False, "useOcsp": True}),
    ):
        changed = await document(world, "PATCH", "certificates/root", {"revocation": change})
        assert changed["revocation"] == expected
        assert changed["isVerified"]


# ---------------------------------------------------------------- revocation


async def test_a_list_counts_at_once_and_until_it_is_forgotten(world: World) -> None:
    root = issue("Root")
    await trust(world, root)
    await world.enroll_group("fleet", CaReferences(primary="root"))
    good, bad = root.leaf("good"), root.leaf("bad")
    await register(world, bad)
    listed = await world.certificates.put_crl("root", revoked_crl(root, bad))
    assert listed.crl is not None
    assert (listed.crl.entries, listed.crl.source) == (1, "upload")
    error = await turned_away(world, bad)
    assert (error.code, error.message) == (Code.UNAUTHORIZED, "Invalid certificate.")
    assert "(superseded), says CRL number 7 of" in error.refused.reason
    await register(world, good)
    await world.certificates.delete_crl("root")
    await register(world, bad)
    with pytest.raises(HomeportError):
        await world.certificates.delete_crl("root")


async def test_require_prefer_and_off(world: World) -> None:
    root = issue("Root")
    await trust(world, root, policy=RevocationPolicy.REQUIRE)
    await world.enroll_group("fleet", CaReferences(primary="root"))
    good, bad = root.leaf("good"), root.leaf("bad")
    unknown = await turned_away(world, good)
    assert (unknown.code, unknown.retry_after) == (Code.UNAVAILABLE, 5)
    await world.certificates.put_crl("root", revoked_crl(root, bad))
    await register(world, good)
    world.clock.advance(days=3)
    late = await turned_away(world, good)
    assert late.code is Code.UNAVAILABLE
    assert "out of date" in late.refused.reason
    # What an old list revokes stays revoked.
    assert (await turned_away(world, bad)).code is Code.UNAUTHORIZED
    await document(world, "PATCH", "certificates/root", {"revocation": {"policy": "prefer"}})
    await register(world, good)
    assert (await turned_away(world, bad)).code is Code.UNAUTHORIZED
    await document(world, "PATCH", "certificates/root", {"revocation": {"policy": "off"}})
    await register(world, bad)


async def test_a_groups_own_signer_may_be_revoked_above(world: World) -> None:
    root = issue("Root")
    plant = root.ca("Plant")
    await trust(world, root)
    await world.enroll_group("fleet", SigningCertificates(primary=plant.certificate.der))
    await register(world, plant.leaf("one"))
    await world.certificates.put_crl("root", revoked_crl(root, plant.certificate))
    assert "'CN=Plant'" in (await turned_away(world, plant.leaf("two"))).refused.reason


async def test_lists_are_fetched_ahead_and_again(world: World) -> None:
    root = issue("Root")
    await trust(world, root, policy=RevocationPolicy.REQUIRE, crl_url=CRL_URL)
    await world.enroll_group("fleet", CaReferences(primary="root"))
    good, bad = root.leaf("good"), root.leaf("bad")
    await world.keeper.refresh()
    error = await turned_away(world, good)
    assert "cannot be reached" in error.refused.reason
    shown = await document(world, "GET", "certificates/root")
    assert "cannot be reached" in shown["crlProblem"]
    world.fetcher.documents[CRL_URL] = revoked_crl(root, number=1)
    await world.keeper.refresh()
    assert world.fetcher.asked == [CRL_URL], "it must be left alone for a while"
    world.clock.advance(minutes=1)
    await world.keeper.refresh()
    await register(world, good)
    await register(world, bad)

    # Three quarters of its life are over: the next one is looked for, and an old one is not taken for it.
    world.fetcher.asked.clear()
    world.clock.advance(hours=12)
    await world.keeper.refresh()
    assert world.fetcher.asked == []
    world.clock.advance(hours=12)
    world.fetcher.documents[CRL_URL] = revoked_crl(root, number=0)
    await world.keeper.refresh()
    assert "is older than" in (await document(world, "GET", "certificates/root"))["crlProblem"]
    world.fetcher.documents[CRL_URL] = revoked_crl(
        root, bad, number=2, starts=world.clock.now(), ends=world.clock.now() + DAY
    )
    world.clock.advance(hours=1)
    await world.keeper.refresh()
    assert (await turned_away(world, bad)).code is Code.UNAUTHORIZED
    await register(world, good)


async def test_what_a_distribution_point_serves_is_not_believed_blindly(world: World) -> None:
    root = issue("Root")
    await trust(world, root, crl_url=CRL_URL)
    for data, words in (
        (b"<html>not here</html>", "malformed"),
        (revoked_crl(issue("Root")), "does not hold"),
        (crl(issue("Other"), issuer="Other"), "is not of"),
    ):
        world.fetcher.documents[CRL_URL] = data
        world.keeper.look_now()
        await world.keeper.refresh()
        shown = await document(world, "GET", "certificates/root")
        assert words in shown["crlProblem"]
        assert "crl" not in shown


async def test_distribution_points_are_used_only_if_allowed(world: World) -> None:
    root = issue("Root")
    plant = root.ca("Plant", extra=(POINT,))
    await trust(world, root, policy=RevocationPolicy.REQUIRE)
    await world.enroll_group("fleet", CaReferences(primary="root"))
    device = plant.leaf("one", extra=(POINT,))
    await turned_away(world, device, plant.certificate)
    await world.keeper.refresh()
    assert world.fetcher.asked == []

    await document(world, "PATCH", "certificates/root", {"revocation": {"useDistributionPoints": True}})
    await turned_away(world, device, plant.certificate)
    world.fetcher.documents[CRL_URL] = revoked_crl(plant)
    await world.keeper.refresh()
    # The leaf's list is there now; what is missing is what the root says of the intermediate.
    error = await turned_away(world, device, plant.certificate)
    assert "'CN=Plant' was revoked" in error.refused.reason
    world.fetcher.documents[CRL_URL] = revoked_crl(root)
    await world.keeper.refresh()
    await register(world, device, plant.certificate)
    # The next process knows where to look without a device.
    known = {about.source for about in await world.database.crls.all()}
    assert known == {CRL_URL}


async def test_responders_are_asked_only_if_allowed_and_answers_are_kept(world: World) -> None:
    root = issue("Root")
    await trust(world, root, policy=RevocationPolicy.REQUIRE)
    await world.enroll_group("fleet", CaReferences(primary="root"))
    device = root.leaf("one", extra=(RESPONDER,))
    status = ocsp.OCSPCertStatus.GOOD

    def respond(request: bytes) -> bytes:
        asked = ocsp.load_der_ocsp_request(request)
        nonce = asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
        now = world.clock.now()
        return ocsp_answer(
            about=device, issuer=root, signer=root, nonce=nonce, status=status, starts=now, ends=now + DAY
        )

    world.fetcher.responder = respond
    await turned_away(world, device)
    assert world.fetcher.asked == []
    await document(world, "PATCH", "certificates/root", {"revocation": {"useOcsp": True}})
    await register(world, device)
    await register(world, device)
    assert world.fetcher.asked == [OCSP_URL]
    status = ocsp.OCSPCertStatus.REVOKED
    world.clock.advance(days=1, minutes=1)
    error = await turned_away(world, device)
    assert error.code is Code.UNAUTHORIZED
    assert "says the OCSP answer" in error.refused.reason


async def test_a_responder_that_is_down_is_left_alone(world: World) -> None:
    root = issue("Root")
    await trust(world, root, policy=RevocationPolicy.PREFER, use_ocsp=True)
    await world.enroll_group("fleet", CaReferences(primary="root"))
    for number in range(3):
        await register(world, root.leaf(f"device-{number}", extra=(RESPONDER,)))
    assert world.fetcher.asked == [OCSP_URL]
    attempts = await world.database.attempts.latest("device-2", limit=1)
    checks = {check.name: check.detail for check in attempts[0].checks}
    assert "cannot be reached. 'root' lets it pass" in checks["revocation"]


# ---------------------------------------------------------------- expiry


async def test_what_ends_soon_is_told_logged_once_and_measured(world: World, caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    watch = ExpiryWatch(world.database.ca_certificates, world.database.enrollments, world.clock, scanned=metrics.expiry)
    await trust(world, issue("Soon", ends=EPOCH + 50 * DAY), "soon")
    await trust(world, issue("Later", ends=EPOCH + 100 * DAY), "later")
    signer = issue("Signer", ends=EPOCH + 20 * DAY).certificate.der
    await world.enroll_group("fleet", SigningCertificates(primary=signer))
    device = issue("Device", ends=EPOCH + 5 * DAY).certificate.der
    await world.enroll("device", ClientCertificates(primary=device, secondary=issue("Device").certificate.der))
    with caplog.at_level(logging.WARNING):
        await watch.scan()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "certificate 'CN=Device' of the enrollment 'device' expires in 5 days",
        "certificate 'CN=Signer' of the enrollment group 'fleet' expires in 20 days",
        "certificate 'CN=Soon' of the CA certificate 'soon' expires in 50 days",
    ]
    rendered = metrics.render().decode()
    assert 'homeport_certificates_expiring{kind="individualEnrollment",within_days="7"} 1.0' in rendered
    assert 'homeport_certificates_expiring{kind="enrollmentGroup",within_days="30"} 1.0' in rendered
    assert 'homeport_certificates_expiring{kind="caCertificate",within_days="60"} 1.0' in rendered
    assert 'homeport_certificates_expiring{kind="caCertificate",within_days="0"} 0.0' in rendered
    caplog.clear()
    await watch.scan()
    assert caplog.records == []
    world.clock.advance(days=6)
    await watch.scan()
    assert [record.getMessage() for record in caplog.records] == [
        "certificate 'CN=Device' of the enrollment 'device' expired yesterday"
    ]
    found, more, at = await watch.soon(30 * DAY)
    assert [item.name for item in found] == ["device", "fleet"]
    assert (more, at) == (0, world.clock.now())


async def test_the_report(world: World) -> None:
    await trust(world, issue("Soon", ends=EPOCH + 50 * DAY), "soon")
    report = await document(world, "GET", "expiring")
    assert [(one["name"], one["days"], one["kind"]) for one in report["certificates"]] == [
        ("soon", 50, "caCertificate")
    ]
    assert "scannedDateTimeUtc" not in report
    await world.expiry.scan()
    assert (await document(world, "GET", "expiring?days=30"))["certificates"] == []
    assert "scannedDateTimeUtc" in await document(world, "GET", "expiring?days=30")
    assert (await document(world, "GET", "certificates/soon"))["warning"] == "expires in 50 days"
    assert (await refused(world, "GET", "expiring?days=61"))[0] == Code.INVALID_REQUEST
