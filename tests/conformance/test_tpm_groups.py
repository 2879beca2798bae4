"""TPMs nobody enrolled one by one: three chips of one maker, a group for the maker's root, telemetry at the end."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from azure.iot.device import Message
from provisioningserviceclient import ProvisioningServiceClient as MicrosoftsClient

from homeport.client import (
    NO_RETRY,
    AttestationMechanism,
    EnrollmentGroup,
    HomeportAdminClient,
    HubRegistryClient,
    IndividualEnrollment,
    NotFoundError,
    ProvisioningDeviceClient,
    ProvisioningServiceClient,
    RegistrationError,
    RegistrationResult,
    TpmSecurityProvider,
    UnauthorizedError,
    connect_with_azure_iot_device,
)
from homeport.security.tpm import registration_id_of
from tests.certificates import Certified, make_certificate
from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import unique
from tests.swtpm import SoftwareTpm
from tests.tpm_maker import open_certified

pytestmark = [pytest.mark.conformance, pytest.mark.tpm]

SDK = "Python: homeport.client"


@pytest.fixture(scope="module")
def root() -> Certified:
    return make_certificate("TPM maker root", ca=True)


@pytest.fixture(scope="module")
def tpms(tmp_path_factory: pytest.TempPathFactory, root: Certified) -> Iterator[list[TpmSecurityProvider]]:
    """Three TPMs certified by the maker's intermediate, which the device sends along."""
    intermediate = root.issue("TPM maker plant 7", ca=True)
    with ExitStack() as stack:
        found = []
        for number in range(3):
            chip = stack.enter_context(SoftwareTpm(tmp_path_factory.mktemp(f"chip-{number}")))
            provider = open_certified(chip, intermediate, endorsement_issuers=[intermediate.der])
            found.append(stack.enter_context(provider))
        yield found


@pytest.fixture
def operator(service: Service) -> Iterator[ProvisioningServiceClient]:
    with ProvisioningServiceClient.create_from_connection_string(
        service.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


@pytest.fixture
def admin(service: Service) -> Iterator[HomeportAdminClient]:
    with HomeportAdminClient.create_from_connection_string(
        service.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


@pytest.fixture
def hub(service: Service) -> Iterator[HubRegistryClient]:
    with HubRegistryClient.create_from_connection_string(
        service.hub_connection_string(service.host), ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


def register(service: Service, tpm: TpmSecurityProvider) -> RegistrationResult:
    with ProvisioningDeviceClient.create(
        service.host, service.id_scope, tpm, ca_file=service.values["HOMEPORT_CA_FILE"], retry=NO_RETRY
    ) as client:
        return client.register()


def enroll(service: Service, operator: ProvisioningServiceClient, attestation: AttestationMechanism) -> str:
    group_id = unique("tpms")
    operator.create_or_update_enrollment_group(
        EnrollmentGroup(enrollment_group_id=group_id, attestation=attestation, iot_hubs=[service.host])
    )
    return group_id


@pytest.mark.matrix(
    sdk=SDK, feature="TPM 2.0 enrollment group by maker: register, connect, telemetry", transport="https"
)
def test_tpms_of_a_maker_come_in(
    service: Service,
    operator: ProvisioningServiceClient,
    admin: HomeportAdminClient,
    hub: HubRegistryClient,
    tpms: list[TpmSecurityProvider],
    root: Certified,
) -> None:
    with pytest.raises(NotFoundError):
        register(service, tpms[0])
    name = unique("maker")
    admin.upload_ca_certificate(name, root.pem, verified=True)
    group_id = enroll(service, operator, AttestationMechanism.for_tpm_group(ca_references=[name]))
    for number, tpm in enumerate(tpms):
        result = register(service, tpm)
        assert result.device_id == registration_id_of(tpm.endorsement_key)
        device = connect_with_azure_iot_device(result, tpm, ca_file=service.values["HOMEPORT_CA_FILE"])
        device.send_message(Message(f"from chip {number}"))
        device.shutdown()
        assert [message.body for message in hub.telemetry(result.device_id)] == [f"from chip {number}"]
        attempts = admin.why(result.device_id, limit=2)
        assert [attempt.outcome for attempt in attempts] == ["assigned", "challenged"]
        assert {attempt.group_id for attempt in attempts} == {group_id}
    states = list(operator.query_registration_states(group_id))
    assert {state.registration_id for state in states} == {tpm.registration_id for tpm in tpms}

    # One of them is shut out; the others are not.
    lost = tpms[0].registration_id
    operator.disable_device(lost)
    with pytest.raises((UnauthorizedError, RegistrationError)):
        register(service, tpms[0])
    assert register(service, tpms[1]).status == "assigned"
    operator.enable_device(lost)
    assert register(service, tpms[0]).status == "assigned"

    operator.delete_enrollment_group(group_id)
    with pytest.raises(NotFoundError):
        register(service, tpms[0])
    admin.delete_ca_certificate(name)


@pytest.mark.matrix(sdk=SDK, feature="TPM 2.0 enrollment group by key hashes", transport="https")
def test_tpms_on_a_list_come_in(
    service: Service, operator: ProvisioningServiceClient, admin: HomeportAdminClient, tpms: list[TpmSecurityProvider]
) -> None:
    listed = [tpm.registration_id for tpm in tpms[:2]]
    group_id = enroll(service, operator, AttestationMechanism.for_tpm_group(key_hashes=listed))
    assert register(service, tpms[0]).device_id == listed[0]
    assert register(service, tpms[1]).device_id == listed[1]
    with pytest.raises(NotFoundError):
        register(service, tpms[2])
    assert "no TPM enrollment group has the digest" in admin.why(tpms[2].registration_id, limit=1)[0].reason
    # An enrollment of its own comes before any group.
    operator.create_or_update_individual_enrollment(
        IndividualEnrollment(
            registration_id=listed[0],
            device_id="by-itself",
            attestation=AttestationMechanism.for_tpm(endorsement_key=tpms[0].endorsement_key),
        )
    )
    assert register(service, tpms[0]).device_id == "by-itself"
    operator.delete_individual_enrollment(listed[0])
    operator.delete_enrollment_group(group_id)


@pytest.mark.matrix(
    sdk="Python: azure-iothub-provisioningserviceclient", feature="TPM enrollment group", transport="https"
)
def test_microsofts_client_reads_such_a_group_and_keeps_it(
    service: Service, operator: ProvisioningServiceClient, tpms: list[TpmSecurityProvider]
) -> None:
    listed = [tpm.registration_id for tpm in tpms]
    group_id = enroll(service, operator, AttestationMechanism.for_tpm_group(key_hashes=listed))
    theirs = MicrosoftsClient.create_from_connection_string(service.values["HOMEPORT_DPS_CONNECTION_STRING"])
    group = theirs.get_enrollment_group(group_id)
    assert group.attestation.type == "tpm"
    group.provisioning_status = "disabled"
    theirs.create_or_update(group)
    stored = operator.get_enrollment_group(group_id)
    assert stored.provisioning_status == "disabled"
    assert stored.attestation.tpm is not None
    assert len(stored.attestation.tpm.endorsement_key_hashes or []) == len(listed)
    operator.delete_enrollment_group(group_id)
