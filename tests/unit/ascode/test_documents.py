"""What is a difference, and what only looks like one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.ascode.documents import canonical, comparable, differences, unknown_members
from homeport.ascode.kinds import EnrollmentKind
from homeport.security.x509 import parse_der
from tests.certificates import make_certificate

SYMMETRIC = {"attestation": {"type": "symmetricKey"}}


@pytest.mark.parametrize(
    "written",
    [
        {**SYMMETRIC, "provisioningStatus": "Enabled"},
        {**SYMMETRIC, "iotHubs": [], "etag": "x", "createdDateTimeUtc": "2024-01-01T00:00:00Z", "deviceId": None},
        {**SYMMETRIC, "capabilities": {"iotEdge": False}},
        {"attestation": {"type": "symmetricKey", "x509": None, "symmetricKey": None}},
    ],
)
def test_one_thing_has_one_spelling(written: dict[str, Any]) -> None:
    assert canonical(written) == canonical(SYMMETRIC)


def test_certificates_are_compared_by_thumbprint() -> None:
    authority = make_certificate("a", ca=True)
    declared = {"x509": {"signingCertificates": {"primary": {"certificate": authority.pem}}}}
    shown = {"info": {"sha256Thumbprint": parse_der(authority.der).info.sha256_thumbprint}}
    returned = {"x509": {"signingCertificates": {"primary": shown, "secondary": shown}}}
    assert canonical({"attestation": declared}) == canonical({"attestation": returned})
    other = {"x509": {"signingCertificates": {"primary": {"certificate": make_certificate("a", ca=True).pem}}}}
    assert canonical({"attestation": other}) != canonical({"attestation": returned})


def test_keys_count_where_they_are_declared() -> None:
    keys = {"primaryKey": "a", "secondaryKey": "b"}
    stored = {"attestation": {"type": "symmetricKey", "symmetricKey": keys}}
    for declared, differ in ((None, False), ({"primaryKey": "a"}, False), ({"primaryKey": "b"}, True)):
        wanted: dict[str, Any] = {"attestation": {"type": "symmetricKey"}}
        if declared:
            wanted["attestation"]["symmetricKey"] = declared
        found = list(differences(*comparable(stored, wanted)))
        assert bool(found) is differ
        assert all(each.secret and each.before is each.after is None for each in found)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    return value


@given(documents)
def test_nothing_differs_from_itself(document: dict[str, Any]) -> None:
    assert not list(differences(document, document))


@given(documents, documents)
def test_differences_make_the_one_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    result = without_nulls(before)
    for each in differences(before, after):
        *path, last = each.path.split(".")
        place = result
        for name in path:
            place = place[name]
        if each.after is None:
            place.pop(last, None)
        else:
            place[last] = without_nulls(each.after)
    assert result == without_nulls(after)


def test_a_misspelt_member_is_named_and_free_ones_are_not_looked_into() -> None:
    given_ = {"iotHub": 1, "initialTwin": {"anything": 1}, "attestation": {"type": "tpm", "tmp": {}}, "deviceId": None}
    understood = {"initialTwin": {}, "attestation": {"type": "tpm"}}
    assert list(unknown_members(given_, understood)) == ["iotHub", "attestation.tmp"]


def test_a_document_must_fit_its_model() -> None:
    kind = EnrollmentKind(None, None)  # type: ignore[arg-type]  # problems asks nobody
    assert kind.problems("a", {"attestation": {"type": "symmetricKey"}}) == []
    assert kind.problems("a", {"attestation": {"type": "symmetricKey"}, "registrationId": "b"})
    assert kind.problems("a", {"attestation": {"type": 3}})
    assert kind.problems("a", {"attestation": {"type": "tpm", "tpm": {"endorsementKey": "x", "srk": "y"}}}) == [
        "attestation.tpm.srk: there is no such member"
    ]
