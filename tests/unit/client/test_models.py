"""The client's models and the server's documents have the same members, and keys stay out of sight."""

import msgspec
import pytest

from homeport.client import AttestationMechanism, InitialTwin, admin_models, allocation_models, models
from homeport.wire import dps_admin, dps_allocation, dps_service

PAIRS = [
    (models.IndividualEnrollment, dps_service.IndividualEnrollment),
    (models.EnrollmentGroup, dps_service.EnrollmentGroup),
    (models.AttestationMechanism, dps_service.AttestationMechanism),
    (models.TpmAttestation, dps_service.TpmMechanism),
    (models.SymmetricKeyAttestation, dps_service.SymmetricKeyMechanism),
    (models.X509Attestation, dps_service.X509Mechanism),
    (models.X509Certificates, dps_service.Certificates),
    (models.X509CertificateWithInfo, dps_service.CertificateWithInfo),
    (models.X509CertificateInfo, dps_service.CertificateInfo),
    (models.X509CaReferences, dps_service.CaReferences),
    (models.DeviceCapabilities, dps_service.DeviceCapabilities),
    (models.ReprovisionPolicy, dps_service.ReprovisionPolicy),
    (models.CustomAllocationDefinition, dps_service.CustomAllocationDefinition),
    (models.RegistrationState, dps_service.DeviceRegistrationState),
    (admin_models.Check, dps_admin.Check),
    (admin_models.Attempt, dps_admin.Attempt),
    (admin_models.Registration, dps_admin.Registration),
    (admin_models.LinkedHub, dps_admin.LinkedHub),
    (admin_models.HubHealth, dps_admin.HubHealth),
    (allocation_models.AllocationSettings, dps_allocation.Settings),
    (allocation_models.Region, dps_allocation.Region),
    (allocation_models.AddressRange, dps_allocation.AddressRange),
    (allocation_models.RegionLatency, dps_allocation.RegionLatency),
    (allocation_models.WebhookSigningKeys, dps_allocation.SigningKeys),
    (allocation_models.AllocationExplanation, dps_allocation.Explanation),
    (allocation_models.Candidate, dps_allocation.Candidate),
    (allocation_models.Exclusion, dps_allocation.Exclusion),
    (allocation_models.AllocationComparison, dps_allocation.Comparison),
    (allocation_models.Movement, dps_allocation.Movement),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda kind: kind.__name__)
def test_members(ours: type[msgspec.Struct], theirs: type[msgspec.Struct]) -> None:
    assert members(ours) == members(theirs)


def members(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def test_keys_are_not_shown() -> None:
    mechanism = AttestationMechanism.for_symmetric_key(primary_key="c2VjcmV0", secondary_key="c2VjcmV0")
    assert "c2VjcmV0" not in repr(mechanism)


def test_constructors() -> None:
    def written(mechanism: AttestationMechanism) -> object:
        return msgspec.json.decode(msgspec.json.encode(mechanism))

    assert written(AttestationMechanism.for_tpm(endorsement_key=b"\x01\x3a")) == {
        "type": "tpm",
        "tpm": {"endorsementKey": "ATo="},
    }
    assert written(AttestationMechanism.for_tpm(endorsement_key="ATo=", storage_root_key=b"\x01")) == {
        "type": "tpm",
        "tpm": {"endorsementKey": "ATo=", "storageRootKey": "AQ=="},
    }
    assert written(AttestationMechanism.for_symmetric_key()) == {"type": "symmetricKey", "symmetricKey": {}}
    assert written(AttestationMechanism.for_x509_client("pem", "pem2")) == {
        "type": "x509",
        "x509": {"clientCertificates": {"primary": {"certificate": "pem"}, "secondary": {"certificate": "pem2"}}},
    }
    assert written(AttestationMechanism.for_x509_signing("pem")) == {
        "type": "x509",
        "x509": {"signingCertificates": {"primary": {"certificate": "pem"}}},
    }
    assert written(AttestationMechanism.for_x509_ca_references("root")) == {
        "type": "x509",
        "x509": {"caReferences": {"primary": "root"}},
    }


def test_initial_twin() -> None:
    twin = InitialTwin.of(tags={"a": 1}, desired={"b": None})
    assert msgspec.json.decode(msgspec.json.encode(twin)) == {"tags": {"a": 1}, "properties": {"desired": {"b": None}}}
    assert msgspec.json.encode(InitialTwin.of()) == b"{}"
