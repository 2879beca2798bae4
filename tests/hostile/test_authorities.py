"""Uploads of authorities and their lists, and groups of TPMs, by people who do not mean well or do not know better."""

import base64
import json
from typing import Any

import pytest

from tests.certificates import make_certificate
from tests.hostile.target import Answer, Target
from tests.hostile.test_documents import NOT_OBJECTS, NOT_TEXT, TEXTS

PATH = "/homeport/certificates/hostile"
ROOT = make_certificate("hostile root", ca=True).pem


def send(target: Target, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    return target.ask(method, path, body, {"Authorization": target.owner_token(), **headers})


@pytest.mark.parametrize(
    "document",
    [
        *({"certificate": value} for value in [*NOT_TEXT, *TEXTS, None]),
        *({"certificate": ROOT, "isVerified": value} for value in [1, "true", [], {}]),
        *({"certificate": ROOT, "revocation": value} for value in NOT_OBJECTS),
        *({"certificate": ROOT, "revocation": {"policy": value}} for value in [*NOT_TEXT, "", "always"]),
        *(
            {"certificate": ROOT, "revocation": {"crlUrl": value}}
            for value in [*NOT_TEXT, "x", "gopher://x/", "http://"]
        ),
        *({"certificate": ROOT, "revocation": {"useOcsp": value}} for value in [1, "yes", None]),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_uploads_that_are_none(target: Target, document: Any) -> None:
    target.assert_refused(send(target, "PUT", PATH, json.dumps(document).encode()), 400)
    assert send(target, "GET", PATH).status == 404


@pytest.mark.parametrize("name", ["a%2Fb", "..", "%2e%2e", "a%00b", "%F0%9F%90%99", "a" * 129, "a%20b", "'--"])
def test_names_that_are_none(target: Target, name: str) -> None:
    answer = send(target, "PUT", f"/homeport/certificates/{name}", json.dumps({"certificate": ROOT}).encode())
    assert answer.status in {400, 404, 405}
    target.assert_clear(answer)


def test_only_administrators_upload_lists_and_others_are_told_before_they_send(target: Target) -> None:
    answer = target.ask("PUT", f"{PATH}/crl", b"x" * 200_000, {"Authorization": "SharedAccessSignature nonsense"})
    target.assert_refused(answer, 401)
    target.assert_refused(send(target, "PUT", f"{PATH}/crl", b"x" * 200_000), 404)


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"-----BEGIN X509 CRL-----", b"\xff" * 300_000, b"\x30\x84\xff\xff\xff\xff" + bytes(1000)]
)
def test_lists_that_are_none(target: Target, data: bytes) -> None:
    made = send(target, "PUT", "/homeport/certificates/listed", json.dumps({"certificate": ROOT}).encode())
    assert made.status in {200, 409}
    target.assert_refused(send(target, "PUT", "/homeport/certificates/listed/crl", data), 400)
    assert "crl" not in send(target, "GET", "/homeport/certificates/listed").document


@pytest.mark.parametrize(
    "tpm",
    [
        {},
        {"endorsementKey": ""},
        {"endorsementKey": "AAAA"},
        {"endorsementCaReferences": []},
        *({"endorsementCaReferences": value} for value in [1, "text", [1], [None], ["a b"], ["missing"], ["x"] * 5000]),
        *({"endorsementKeyHashes": value} for value in [1, "text", [1], ["AB"], ["zz" * 32], ["1" * 52]]),
        {"endorsementKeyHashes": [f"{number:064x}" for number in range(1001)]},
    ],
    ids=lambda value: repr(value)[:60],
)
def test_groups_of_tpms_that_are_none(target: Target, tpm: Any) -> None:
    document = {"enrollmentGroupId": "chips", "attestation": {"type": "tpm", "tpm": tpm}}
    path = "/enrollmentGroups/chips?api-version=2021-10-01"
    target.assert_refused(send(target, "PUT", path, json.dumps(document).encode()), 400)
    assert send(target, "GET", path).status == 404


def test_a_certificate_that_is_sent_along_is_judged_only_where_it_counts(target: Target) -> None:
    certificate = base64.b64encode(make_certificate("x").der).decode()
    body = {"tpm": {"endorsementKey": base64.b64encode(bytes(316)).decode(), "endorsementCertificate": certificate}}
    answer = target.ask("PUT", target.register_path("nobody"), json.dumps(body).encode())
    target.assert_refused(answer, 404)
