import msgspec
import pytest

from homeport.client.models import (
    AttestationMechanism,
    CustomAllocationDefinition,
    DeviceCapabilities,
    EnrollmentGroup,
    IndividualEnrollment,
    InitialTwin,
    ReprovisionPolicy,
    X509Attestation,
    X509CaReferences,
)
from homeport.portal.forms import Kind, Reprovision, blank, fill, parse, reprovision

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"


def typed(kind: Kind = Kind.INDIVIDUAL, **fields: str) -> dict[str, str]:
    return {**blank(kind).values, "id": "press-1", **fields}


def read(kind: Kind = Kind.INDIVIDUAL, hubs: tuple[str, ...] = (), **fields: str) -> IndividualEnrollment:
    form, enrollment = parse(kind, typed(kind, **fields), hubs, None)
    assert form.errors == {}
    assert isinstance(enrollment, IndividualEnrollment)
    return enrollment


def errors(kind: Kind = Kind.INDIVIDUAL, hubs: tuple[str, ...] = (), **fields: str) -> dict[str, str]:
    form, enrollment = parse(kind, typed(kind, **fields), hubs, None)
    assert enrollment is None
    return form.errors


def test_the_shortest_enrollment() -> None:
    enrollment = read()
    assert enrollment.registration_id == "press-1"
    assert enrollment.attestation.type == "symmetricKey"
    assert enrollment.provisioning_status == "enabled"
    unset = (enrollment.device_id, enrollment.iot_hubs, enrollment.initial_twin, enrollment.reprovision_policy)
    assert unset == (None, None, None, None)


def test_every_field() -> None:
    enrollment = read(
        hubs=("a.example", "b.example", "a.example"),
        device_id="Press#1",
        status="disabled",
        iot_edge="on",
        allocation="custom",
        webhook_url="https://example.com/hook",
        webhook_version="2019-03-31",
        reprovision="reset",
        initial_twin='{"tags": {"a": 1}, "properties": {"desired": {"b": [1, 2]}}}',
        device_information='{"colour": "blue"}',
    )
    assert enrollment.device_id == "Press#1"
    assert enrollment.provisioning_status == "disabled"
    assert enrollment.capabilities == DeviceCapabilities(iot_edge=True)
    assert enrollment.custom_allocation_definition == CustomAllocationDefinition(
        webhook_url="https://example.com/hook", api_version="2019-03-31"
    )
    assert enrollment.iot_hubs == ["a.example", "b.example"]
    assert enrollment.reprovision_policy == ReprovisionPolicy(update_hub_assignment=True, migrate_device_data=False)
    assert enrollment.initial_twin == InitialTwin.of(tags={"a": 1}, desired={"b": [1, 2]})
    assert enrollment.optional_device_information == {"colour": "blue"}


def test_own_keys() -> None:
    keys = read(keys="own", primary_key="AAAA BBBB\n", secondary_key="CCCC").attestation.symmetric_key
    assert keys is not None
    assert (keys.primary_key, keys.secondary_key) == ("AAAABBBB", "CCCC")
    assert errors(keys="own").keys() == {"primary_key", "secondary_key"}
    assert "Base64" in errors(keys="own", primary_key="!", secondary_key="AAAA")["primary_key"]


def test_tpm() -> None:
    tpm = read(mechanism="tpm", endorsement_key="AAAA\nBBBB").attestation.tpm
    assert tpm is not None
    assert (tpm.endorsement_key, tpm.storage_root_key) == ("AAAABBBB", None)
    assert errors(mechanism="tpm").keys() == {"endorsement_key"}
    assert errors(Kind.GROUP, mechanism="tpm", endorsement_key="AAAA").keys() == {"tpm_authorities"}


def test_certificates_of_a_device_and_of_a_group() -> None:
    own = read(mechanism="x509", primary_certificate=PEM).attestation.x509
    assert own is not None
    assert own.client_certificates is not None
    form, group = parse(Kind.GROUP, typed(Kind.GROUP, mechanism="x509", primary_certificate=PEM), (), None)
    assert isinstance(group, EnrollmentGroup), form.errors
    assert group.attestation.x509 is not None
    assert group.attestation.x509.signing_certificates is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Paste"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA", "private key"),
        (f"{PEM}\n-----BEGIN EC PRIVATE KEY-----", "private key"),
        ("-----BEGIN PUBLIC KEY-----", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA", "end of the certificate"),
        (f"{PEM}\n{PEM}", "Several"),
        ("C:\\certs\\press.pem", "PEM"),
    ],
)
def test_what_is_no_certificate(text: str, words: str) -> None:
    assert words in errors(mechanism="x509", primary_certificate=text)["primary_certificate"]


def test_a_private_key_is_not_sent_back() -> None:
    form, _ = parse(
        Kind.INDIVIDUAL, typed(mechanism="x509", primary_certificate="-----BEGIN PRIVATE KEY-----"), (), None
    )
    assert form["primary_certificate"] == ""


@pytest.mark.parametrize("identifier", ["", "press 1", "press/1", "-" * 129, "press.", "<b>"])
def test_ids_that_are_none(identifier: str) -> None:
    assert errors(id=identifier).keys() == {"id"}


def test_a_device_id_has_its_own_rule() -> None:
    assert read(device_id="a(b)+c@d").device_id == "a(b)+c@d"
    assert errors(device_id="a b").keys() == {"device_id"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Line 1, column 2"),
        ('{\n "tags": {"a": 1,}\n}', "Line 2"),
        ("[]", "no object"),
        ('{"tags": []}', "tags should be an object"),
        ('{"tag": {}}', "no “tag”"),
        ('{"properties": {"reported": {}}}', "in properties; only desired"),
        ('{"tags": {"a": 1, "a": 2}}', "twice"),
        ('{"tags": {"a": NaN}}', "NaN"),
        ('{"tags": ' + '{"a": ' * 2000 + "1" + "}" * 2001, "too deeply"),
    ],
)
def test_what_is_no_twin(text: str, words: str) -> None:
    assert words in errors(initial_twin=text)["initial_twin"]


def test_a_static_policy_needs_one_hub() -> None:
    assert errors(allocation="static").keys() == {"hubs"}
    assert errors(allocation="static", hubs=("a", "b")).keys() == {"hubs"}
    assert read(allocation="static", hubs=("a",)).iot_hubs == ["a"]


def test_a_custom_policy_needs_a_webhook() -> None:
    assert errors(allocation="custom", webhook_version="").keys() == {"webhook_url", "webhook_version"}
    assert errors(allocation="custom", webhook_url="ftp://x").keys() == {"webhook_url"}


@pytest.mark.parametrize("field", ["mechanism", "allocation", "reprovision"])
def test_choices_that_were_not_offered(field: str) -> None:
    form, enrollment = parse(Kind.INDIVIDUAL, typed() | {field: "nonsense"}, (), None)
    assert enrollment is None
    assert form.errors.keys() == {field}


def stored(attestation: AttestationMechanism, **fields: object) -> IndividualEnrollment:
    return msgspec.convert(
        {"registrationId": "press-1", "etag": "e1", "attestation": msgspec.to_builtins(attestation), **fields},
        IndividualEnrollment,
    )


def test_saving_what_was_filled_in_changes_nothing() -> None:
    before = stored(
        AttestationMechanism.for_tpm(endorsement_key="AAAA"),
        deviceId="tpm-device",
        provisioningStatus="disabled",
        capabilities={"iotEdge": False},
        allocationPolicy="hashed",
        iotHubs=["a.example"],
        reprovisionPolicy={"updateHubAssignment": False, "migrateDeviceData": True},
        initialTwin={"tags": {"a": 1}, "properties": {"desired": {}}},
        optionalDeviceInformation={"b": 2},
        iotHubHostName="a.example",
    )
    form = fill(Kind.INDIVIDUAL, before)
    _, after = parse(Kind.INDIVIDUAL, form.values, form.hubs, before)
    assert after == before


def test_secrets_and_certificates_are_kept_when_their_fields_stay_empty() -> None:
    keys = stored(AttestationMechanism.for_symmetric_key(primary_key="AAAA", secondary_key="BBBB"))
    form = fill(Kind.INDIVIDUAL, keys)
    assert "AAAA" not in form.values.values()
    _, after = parse(Kind.INDIVIDUAL, form.values, (), keys)
    assert after is not None
    assert after.attestation == AttestationMechanism.for_symmetric_key()

    references = AttestationMechanism(
        type="x509", x509=X509Attestation(ca_references=X509CaReferences(primary="root", secondary=None))
    )
    held = stored(references)
    _, after = parse(Kind.INDIVIDUAL, fill(Kind.INDIVIDUAL, held).values, (), held)
    assert after is not None
    assert after.attestation == references
    values = fill(Kind.INDIVIDUAL, held).values | {"secondary_certificate": PEM}
    assert parse(Kind.INDIVIDUAL, values, (), held)[0].errors.keys() == {"primary_certificate"}


def test_the_etag_of_the_form_counts_not_the_present_one() -> None:
    held = stored(AttestationMechanism.for_tpm(endorsement_key="AAAA"))
    values = fill(Kind.INDIVIDUAL, held).values
    _, after = parse(Kind.INDIVIDUAL, values, (), msgspec.structs.replace(held, etag="e2"))
    assert after is not None
    assert after.etag == "e1"


@pytest.mark.parametrize("choice", [Reprovision.MIGRATE, Reprovision.RESET, Reprovision.NEVER])
def test_reprovision_policies_are_named_both_ways(choice: Reprovision) -> None:
    assert reprovision(read(reprovision=choice.value).reprovision_policy) is choice
