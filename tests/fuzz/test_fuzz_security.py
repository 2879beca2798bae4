"""Invariant: any input either parses or raises the parser's own error; a path search never raises."""

import base64
import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.security import crl, endorsement, ocsp, revocation, sas, tpm, x509, x509_path
from tests.unit.security.certificates import NOW, issue, rsa_key
from tests.unit.security.test_crl import crl as make_crl
from tests.unit.security.test_ocsp import answer as make_answer

VECTORS = Path(__file__).parents[1] / "vectors"
TPM_VECTOR = json.loads((VECTORS / "tpm-vector-01.json").read_text())
EK = base64.b64decode(TPM_VECTOR["endorsementKey"])
BLOB = base64.b64decode(TPM_VECTOR["authenticationKey"])
TOKEN = TPM_VECTOR["sas"]["token"]
ROOT = issue("Root", key=rsa_key())
LEAF = ROOT.leaf()
CRL = make_crl(ROOT, (5, NOW, None), issuer="Root")
ANSWER = make_answer(about=LEAF, issuer=ROOT, signer=ROOT, send=(ROOT,), nonce=bytes(32))


@st.composite
def mutated(draw: st.DrawFn, original: bytes) -> bytes:
    """Change, cut out and insert a few bytes: most of the structure stays, so the parser goes deep."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(0, 4))
        data[at : at + length] = draw(st.binary(max_size=4))
    return bytes(data)


@settings(max_examples=500)
@given(st.text() | st.text().map(lambda rest: sas.SCHEME + " " + rest))
def test_sas_token_of_any_text(text: str) -> None:
    _use_token(text)


@settings(max_examples=500)
@given(mutated(TOKEN.encode()))
def test_sas_token_almost_right(data: bytes) -> None:
    _use_token(data.decode("latin-1"))


def _use_token(text: str) -> None:
    try:
        token = sas.parse_token(text)
    except sas.SasError:
        return
    sas.verify_signature(token, bytes(32))
    sas.is_expired(token, NOW)
    sas.explain_expiry(token, NOW)
    sas.is_for_service(token, ["h"])
    sas.is_for_registration(token, "s", "r")
    sas.covers_hub_resource(token, ["h"], ("devices", "d"))


@given(st.text())
def test_key_of_any_text(text: str) -> None:
    with contextlib.suppress(sas.SasError):
        assert 16 <= len(sas.decode_key(text)) <= 64


@settings(max_examples=500)
@given(st.binary(max_size=600) | mutated(EK))
def test_tpm_public_of_any_bytes(data: bytes) -> None:
    try:
        public = tpm.parse_public(data)
    except tpm.TpmError:
        return
    blob = tpm.make_challenge(public, public, bytes(32), b"uri", bytes)
    assert tpm.parse_blob(blob).object_public[2:].startswith(b"\x00\x08")


@settings(max_examples=500)
@given(st.binary(max_size=900) | mutated(BLOB))
def test_tpm_blob_of_any_bytes(data: bytes) -> None:
    try:
        blob = tpm.parse_blob(data)
    except tpm.TpmError:
        return
    assert (
        blob.credential + blob.credential_secret + blob.duplicate
        == data[: -len(blob.duplicate_seed + blob.object_public + blob.encrypted_uri)]
    )


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # the library's opinion of some mutations
@settings(max_examples=1000)
@given(mutated(LEAF.der) | mutated(ROOT.certificate.der))
def test_certificate_almost_right(der: bytes) -> None:
    try:
        certificate = x509.parse_der(der)
    except x509.CertificateError:
        return
    anchors = x509_path.CertificateIndex([ROOT.certificate])
    for chain in ([certificate], [LEAF, certificate], [certificate, certificate]):
        result = x509_path.find_anchor(chain, anchors, now=NOW)
        assert isinstance(result, x509_path.Path | x509_path.PathProblem)
    assert certificate == LEAF or not isinstance(x509_path.find_anchor([certificate], anchors, now=NOW), x509_path.Path)


@settings(max_examples=300)
@given(st.binary(max_size=300) | st.text(max_size=300) | mutated(base64.b64encode(LEAF.der)))
def test_certificate_of_any_written_form(data: bytes | str) -> None:
    try:
        certificate = x509.parse_certificate(data)
    except x509.CertificateError:
        return
    assert len(certificate.info.sha256_thumbprint) == 64


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=500)
@given(st.binary(max_size=300) | mutated(CRL))
def test_crl_almost_right(data: bytes) -> None:
    """Only what the authority signed is ever read."""
    try:
        found = crl.read_crl(data, ROOT.certificate, now=NOW)
    except revocation.RevocationError:
        return
    assert found.der == CRL
    assert found.find(5) is not None


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=500)
@given(st.binary(max_size=300) | mutated(ANSWER))
def test_ocsp_answer_almost_right(data: bytes) -> None:
    """Only what the authority signed is ever believed; the certificates beside it are not signed."""
    with contextlib.suppress(revocation.RevocationError):
        answer = ocsp.read_answer(data, LEAF, ROOT.certificate, nonce=bytes(32), now=NOW)
        assert answer.this_update == NOW


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=500)
@given(mutated(LEAF.der))
def test_what_certificates_say_of_their_authority(der: bytes) -> None:
    try:
        certificate = x509.parse_der(der)
    except x509.CertificateError:
        return
    assert all(map(revocation.is_http_url, revocation.distribution_points(certificate)))
    assert all(map(revocation.is_http_url, revocation.ocsp_responders(certificate)))
    assert endorsement.endorsement_problem(certificate, tpm.parse_public(EK)) is not None


@given(st.text() | st.text().map(lambda rest: "http://" + rest))
def test_address_of_any_text(text: str) -> None:
    assert revocation.is_http_url(text) in {True, False}
