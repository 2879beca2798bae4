"""Microsoft's Python service SDKs: enrollments through one, the identity registry through the other."""

import base64
import os
from typing import Any

import pytest
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import QuerySpecification, Twin, TwinProperties
from msrest.exceptions import HttpOperationError
from provisioningserviceclient import ProvisioningServiceClient, ProvisioningServiceError
from provisioningserviceclient import QuerySpecification as EnrollmentQuery
from provisioningserviceclient.models import (
    AttestationMechanism,
    EnrollmentGroup,
    IndividualEnrollment,
    InitialTwin,
)

from tests.certificates import make_certificate
from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import symmetric_key, unique

pytestmark = pytest.mark.conformance


@pytest.fixture
def operator(service: Service) -> ProvisioningServiceClient:
    return ProvisioningServiceClient.create_from_connection_string(service.values["HOMEPORT_DPS_CONNECTION_STRING"])


@pytest.fixture
def registry(service: Service) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@pytest.mark.matrix(
    sdk="Python: azure-iothub-provisioningserviceclient", feature="individual enrollments", transport="https"
)
def test_individual_enrollment_life_cycle(operator: ProvisioningServiceClient) -> None:
    registration_id = unique("ind")
    primary = key()
    enrollment = IndividualEnrollment.create(
        registration_id,
        symmetric_key(primary, key()),
        device_id="wanted-name",
        initial_twin=InitialTwin.create({"site": "north"}, {"interval": 5}),
    )

    created = operator.create_or_update(enrollment)
    assert created.attestation.symmetric_key.primary_key == primary
    assert created.etag

    read = operator.get_individual_enrollment(registration_id)
    assert read.device_id == "wanted-name"
    assert read.initial_twin.tags == {"site": "north"}
    assert read.attestation.symmetric_key is None
    assert (
        operator.get_individual_enrollment_attestation_mechanism(registration_id).symmetric_key.primary_key == primary
    )

    read.provisioning_status = "disabled"
    read.attestation = created.attestation
    updated = operator.create_or_update(read)
    assert updated.provisioning_status == "disabled"
    assert updated.etag != created.etag

    with pytest.raises(ProvisioningServiceError, match="412"):
        operator.delete_individual_enrollment_by_param(registration_id, created.etag)
    operator.delete_individual_enrollment_by_param(registration_id, updated.etag)
    with pytest.raises(ProvisioningServiceError, match="404"):
        operator.get_individual_enrollment(registration_id)


@pytest.mark.matrix(
    sdk="Python: azure-iothub-provisioningserviceclient", feature="enrollment groups", transport="https"
)
def test_enrollment_group_life_cycle(operator: ProvisioningServiceClient) -> None:
    group_id = unique("grp")
    root = make_certificate("life cycle root", ca=True)
    created = operator.create_or_update(
        EnrollmentGroup.create(group_id, AttestationMechanism.create_with_x509_signing_certs(root.pem))
    )
    info = created.attestation.x509.signing_certificates.primary.info
    assert info.subject_name == "CN=life cycle root"
    assert operator.get_enrollment_group(group_id).etag == created.etag
    operator.delete(created)
    with pytest.raises(ProvisioningServiceError, match="404"):
        operator.get_enrollment_group(group_id)


@pytest.mark.matrix(sdk="Python: azure-iothub-provisioningserviceclient", feature="conflicts", transport="https")
def test_creating_twice_conflicts(operator: ProvisioningServiceClient) -> None:
    enrollment = IndividualEnrollment.create(unique("twice"), symmetric_key(key(), key()))
    operator.create_or_update(enrollment)
    with pytest.raises(ProvisioningServiceError, match="409"):
        operator.create_or_update(enrollment)


@pytest.mark.matrix(
    sdk="Python: azure-iothub-provisioningserviceclient", feature="queries with paging", transport="https"
)
def test_query_pages_through_all_enrollments(operator: ProvisioningServiceClient) -> None:
    ids = {unique("page") for _ in range(5)}
    for registration_id in ids:
        operator.create_or_update(IndividualEnrollment.create(registration_id, symmetric_key(key(), key())))
    query = operator.create_individual_enrollment_query(EnrollmentQuery("SELECT * FROM enrollments"), page_size=2)
    found = set()
    while query.has_next:
        page = query.next()
        assert len(page) <= 2
        found |= {enrollment.registration_id for enrollment in page}
    assert ids <= found


@pytest.mark.matrix(sdk="Python: azure-iot-hub", feature="device identities with keys", transport="https")
def test_device_identity_life_cycle(registry: IoTHubRegistryManager) -> None:
    device_id = unique("dev")
    primary, secondary = key(), key()
    created = registry.create_device_with_sas(device_id, primary, secondary, "enabled")
    assert created.authentication.symmetric_key.primary_key == primary
    with pytest.raises(HttpOperationError) as conflict:
        registry.create_device_with_sas(device_id, primary, secondary, "enabled")
    assert conflict.value.response.status_code == 409

    updated = registry.update_device_with_sas(device_id, created.etag, secondary, primary, "disabled")
    assert updated.status == "disabled"
    assert registry.get_device(device_id).authentication.symmetric_key.primary_key == secondary
    with pytest.raises(HttpOperationError) as stale:
        registry.update_device_with_sas(device_id, created.etag, primary, secondary, "enabled")
    assert stale.value.response.status_code == 412

    registry.delete_device(device_id)
    with pytest.raises(HttpOperationError) as missing:
        registry.get_device(device_id)
    assert missing.value.response.status_code == 404


@pytest.mark.matrix(sdk="Python: azure-iot-hub", feature="device identities with certificates", transport="https")
def test_x509_identities(registry: IoTHubRegistryManager) -> None:
    thumbprint = "ab" * 32
    device = registry.create_device_with_x509(unique("x509"), thumbprint, thumbprint.upper(), "enabled")
    assert device.authentication.type == "selfSigned"
    assert device.authentication.x509_thumbprint.primary_thumbprint == thumbprint
    by_ca = registry.create_device_with_certificate_authority(unique("ca"), "enabled")
    assert by_ca.authentication.type == "certificateAuthority"


@pytest.mark.matrix(sdk="Python: azure-iot-hub", feature="twins, queries, statistics", transport="https")
def test_twins_query_and_statistics(registry: IoTHubRegistryManager) -> None:
    before = registry.get_device_registry_statistics().total_device_count
    device_id = unique("twin")
    registry.create_device_with_sas(device_id, "", "", "enabled")
    assert registry.get_device_registry_statistics().total_device_count == before + 1

    twin = registry.get_twin(device_id)
    updated = registry.update_twin(
        device_id,
        Twin(tags={"floor": 3}, properties=TwinProperties(desired={"interval": 30})),
        twin.etag,
    )
    assert updated.tags == {"floor": 3}
    assert updated.properties.desired["interval"] == 30
    assert updated.properties.desired["$version"] == 2

    found: dict[str, Twin] = {}
    token = None
    while True:
        page = registry.query_iot_hub(QuerySpecification(query="SELECT * FROM devices"), token, 2)
        found |= {item.device_id: item for item in page.items}
        token = page.continuation_token
        if not token:
            break
    assert found[device_id].tags == {"floor": 3}

    def ask(text: str) -> list[Any]:
        return list(registry.query_iot_hub(QuerySpecification(query=text)).items)

    chosen = ask(f"SELECT * FROM devices WHERE deviceId = '{device_id}' AND properties.desired.interval >= 30")
    assert [twin.tags for twin in chosen] == [{"floor": 3}]
    assert ask(f"SELECT * FROM devices WHERE deviceId = '{device_id}' AND tags.floor IN [1, 2]") == []
