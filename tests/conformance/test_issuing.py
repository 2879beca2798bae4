"""A certificate issued at registration, from the request to telemetry under it; renewed; revoked, which cuts off."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.iot.device import Message
from cryptography import x509

from homeport.client import (
    AttestationMechanism,
    EnrollmentGroup,
    HomeportAdminClient,
    HubRegistryClient,
    IndividualEnrollment,
    ProvisioningDeviceClient,
    ProvisioningServiceClient,
    ProvisioningServiceError,
    RegistrationResult,
    SymmetricKeySecurityProvider,
    TpmSecurityProvider,
    UnauthorizedError,
    X509SecurityProvider,
    certificate_request,
    new_device_key,
)
from homeport.client.aio import connect_with_azure_iot_device
from tests.certificates import make_certificate
from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import unique
from tests.swtpm import SoftwareTpm

pytestmark = pytest.mark.conformance

SDK = "Python: homeport.client"
Provider = SymmetricKeySecurityProvider | X509SecurityProvider | TpmSecurityProvider
AUTHORITY = "factory-devices"
POLICY = "factory-policy"


class IssuingServiceClient(ProvisioningServiceClient):
    """Speaks the version in which enrollments say who issues certificates."""

    API_VERSION = "2026-11-01"


@pytest.fixture(scope="module")
def operator(service: Service) -> Iterator[ProvisioningServiceClient]:
    with IssuingServiceClient.create_from_connection_string(
        service.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


@pytest.fixture(scope="module")
def admin(service: Service) -> Iterator[HomeportAdminClient]:
    """An administrator who has a root, an intermediate that issues, and a policy."""
    with HomeportAdminClient.create_from_connection_string(
        service.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as client:
        client.create_certificate_authority("factory-root", common_name="Factory Root", key_type="EC-P384")
        client.create_certificate_authority(AUTHORITY, issuer="factory-root", organization="Factory")
        client.put_certificate_policy(POLICY, authority=AUTHORITY, validity=timedelta(days=7))
        yield client


def register(
    service: Service, provider: Provider, folder: Path, *, transport: Any = "https", key: str = "device.key"
) -> RegistrationResult:
    """Register with a request for the key in this file, made if it is missing."""
    file = folder / key
    if not file.exists():
        new_device_key(file)
    client = ProvisioningDeviceClient.create(
        service.host, service.id_scope, provider, transport=transport, ca_file=service.values["HOMEPORT_CA_FILE"]
    )
    return client.register(csr=certificate_request(provider.registration_id, file))


def issued_to(result: RegistrationResult, folder: Path, *, key: str = "device.key") -> X509SecurityProvider:
    """The device with its new certificate."""
    file = folder / f"{key}.pem"
    file.write_text(result.issued_certificate_pem)
    return X509SecurityProvider(file, folder / key)


def subject_of(result: RegistrationResult) -> str:
    return x509.load_der_x509_certificate(result.issued_certificate_chain[0]).subject.rfc4514_string()


def check_chain(result: RegistrationResult) -> None:
    """Leaf first, each issued by the next, the root last."""
    chain = [x509.load_der_x509_certificate(der) for der in result.issued_certificate_chain]
    for certificate, issuer in zip(chain, [*chain[1:], chain[-1]], strict=True):
        certificate.verify_directly_issued_by(issuer)


async def send(service: Service, result: RegistrationResult, provider: X509SecurityProvider, text: str) -> None:
    device = await connect_with_azure_iot_device(result, provider, ca_file=service.values["HOMEPORT_CA_FILE"])
    try:
        await device.send_message(Message(text, content_encoding="utf-8", content_type="application/json"))
    finally:
        await device.shutdown()


def received(service: Service, result: RegistrationResult) -> list[Any]:
    with HubRegistryClient.create_from_connection_string(
        service.hub_connection_string(result.assigned_hub), ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as hub:
        # The newest comes first.
        return [message.body for message in hub.telemetry(result.device_id)][::-1]


def enroll_key(operator: ProvisioningServiceClient, key: str, **more: Any) -> SymmetricKeySecurityProvider:
    registration_id = unique("issued")
    operator.create_or_update_individual_enrollment(
        IndividualEnrollment(
            registration_id=registration_id,
            attestation=AttestationMechanism.for_symmetric_key(primary_key=key, secondary_key=key),
            **{"certificate_policy_name": POLICY, **more},
        )
    )
    return SymmetricKeySecurityProvider(registration_id, key)


@pytest.mark.parametrize("transport", ["https", "mqtt", "mqtt-ws", "amqp", "amqp-ws"])
@pytest.mark.matrix(sdk=SDK, feature="certificate by CSR, symmetric key: register, connect, telemetry")
async def test_with_a_key(
    service: Service,
    operator: ProvisioningServiceClient,
    admin: HomeportAdminClient,
    device_key: str,
    tmp_path: Path,
    transport: str,
) -> None:
    provider = enroll_key(operator, device_key)
    result = await asyncio.to_thread(register, service, provider, tmp_path, transport=transport)
    check_chain(result)
    assert len(result.issued_certificate_chain) == 3
    assert subject_of(result) == f"CN={provider.registration_id}"
    await send(service, result, issued_to(result, tmp_path), '{"reading": 1}')
    assert received(service, result) == [{"reading": 1}]
    (issued,) = admin.issued_certificates(registration_id=provider.registration_id)
    assert (issued.status, issued.certificate_authority_name) == ("valid", AUTHORITY)
    assert issued.not_after_utc - issued.issued_date_time_utc <= timedelta(days=7)


@pytest.mark.parametrize("transport", ["https", "mqtt"])
@pytest.mark.matrix(sdk=SDK, feature="certificate by CSR, X.509 group: register, connect, telemetry")
async def test_with_a_certificate(
    service: Service,
    operator: ProvisioningServiceClient,
    admin: HomeportAdminClient,
    tmp_path: Path,
    transport: str,
) -> None:
    root = make_certificate(unique("onboarding root"), ca=True)
    operator.create_or_update_enrollment_group(
        EnrollmentGroup(
            enrollment_group_id=unique("onboarding"),
            attestation=AttestationMechanism.for_x509_signing(root.pem),
            certificate_authority_name=AUTHORITY,
        )
    )
    provider = X509SecurityProvider(*root.issue(unique("onboarded")).write(tmp_path))
    result = await asyncio.to_thread(register, service, provider, tmp_path, transport=transport)
    check_chain(result)
    await send(service, result, issued_to(result, tmp_path), '{"reading": 2}')
    assert received(service, result) == [{"reading": 2}]


@pytest.mark.tpm
@pytest.mark.matrix(sdk=SDK, feature="certificate by CSR, TPM 2.0: register, connect, telemetry", transport="https")
async def test_with_a_tpm(
    service: Service, operator: ProvisioningServiceClient, admin: HomeportAdminClient, tmp_path: Path
) -> None:
    with SoftwareTpm(tmp_path / "tpm") as chip, TpmSecurityProvider(chip.tcti) as tpm:
        tpm.registration_id = unique("tpm-issued")
        operator.create_or_update_individual_enrollment(
            IndividualEnrollment(
                registration_id=tpm.registration_id,
                attestation=AttestationMechanism.for_tpm(endorsement_key=tpm.endorsement_key),
                certificate_policy_name=POLICY,
            )
        )
        result = await asyncio.to_thread(register, service, tpm, tmp_path)
        check_chain(result)
        await send(service, result, issued_to(result, tmp_path), '{"reading": 3}')
        assert received(service, result) == [{"reading": 3}]


@pytest.fixture
async def connected(
    service: Service,
    operator: ProvisioningServiceClient,
    admin: HomeportAdminClient,
    device_key: str,
    tmp_path: Path,
) -> AsyncIterator[tuple[SymmetricKeySecurityProvider, RegistrationResult, Any]]:
    """A device that is connected to its hub with an issued certificate."""
    provider = enroll_key(operator, device_key)
    result = await asyncio.to_thread(register, service, provider, tmp_path)
    device = await connect_with_azure_iot_device(
        result,
        issued_to(result, tmp_path),
        ca_file=service.values["HOMEPORT_CA_FILE"],
        auto_connect=False,
        connection_retry=False,
    )
    yield provider, result, device
    await device.shutdown()


@pytest.mark.matrix(sdk=SDK, feature="certificate by CSR: renewal without losing the connection", transport="https")
async def test_renewal(
    service: Service,
    admin: HomeportAdminClient,
    tmp_path: Path,
    connected: tuple[SymmetricKeySecurityProvider, RegistrationResult, Any],
) -> None:
    provider, first, device = connected
    same = await asyncio.to_thread(register, service, provider, tmp_path)
    assert same.issued_certificate_chain == first.issued_certificate_chain, "same key, not due yet"
    second = await asyncio.to_thread(register, service, provider, tmp_path, key="next.key")
    assert second.issued_certificate_chain[0] != first.issued_certificate_chain[0]
    assert second.substatus == "reprovisionedToInitialAssignment"

    await device.send_message(Message('{"by": "old"}', content_encoding="utf-8", content_type="application/json"))
    assert device.connected
    await send(service, second, issued_to(second, tmp_path, key="next.key"), '{"by": "new"}')
    assert received(service, second) == [{"by": "old"}, {"by": "new"}]
    third = await asyncio.to_thread(register, service, provider, tmp_path, key="third.key")
    await send(service, third, issued_to(second, tmp_path, key="next.key"), "{}")
    with pytest.raises(Exception):  # noqa: B017 - whatever the SDK makes of it
        await send(service, third, issued_to(first, tmp_path), "{}")
    assert len(list(admin.issued_certificates(registration_id=provider.registration_id))) == 3


@pytest.mark.matrix(sdk=SDK, feature="certificate by CSR: revoked, cut off and refused", transport="https")
async def test_revocation(
    service: Service,
    admin: HomeportAdminClient,
    tmp_path: Path,
    connected: tuple[SymmetricKeySecurityProvider, RegistrationResult, Any],
) -> None:
    provider, result, device = connected
    gone = asyncio.Event()

    async def changed() -> None:
        if not device.connected:
            gone.set()

    device.on_connection_state_change = changed
    (revoked,) = await asyncio.to_thread(
        admin.revoke_device_certificates, provider.registration_id, reason="keyCompromise"
    )
    assert (revoked.status, revoked.revocation_reason, revoked.withdrawn) == ("revoked", "keyCompromise", True)
    async with asyncio.timeout(20):
        await gone.wait()
    with pytest.raises(Exception):  # noqa: B017 - whatever the SDK makes of it
        await send(service, result, issued_to(result, tmp_path), "{}")

    with pytest.raises(ProvisioningServiceError) as refused:
        await asyncio.to_thread(register, service, provider, tmp_path)
    assert refused.value.code == 400212
    attempt = admin.why(provider.registration_id)[0]
    assert "was revoked" in attempt.reason
    again = await asyncio.to_thread(register, service, provider, tmp_path, key="next.key")
    assert any("was revoked" in check.detail for check in admin.why(provider.registration_id)[0].checks)
    await send(service, again, issued_to(again, tmp_path, key="next.key"), '{"back": true}')
    assert received(service, again)[-1] == {"back": True}

    crl = x509.load_der_x509_crl(admin.get_revocation_list(AUTHORITY).der)
    assert crl.get_revoked_certificate_by_serial_number(int(revoked.serial_number, 16)) is not None
    context = ssl.create_default_context(cafile=service.values["HOMEPORT_CA_FILE"])
    async with httpx.AsyncClient(verify=context, trust_env=False) as anybody:
        public = await anybody.get(f"https://{service.host}/homeport/pki/{AUTHORITY}.crl")
    assert public.headers["content-type"] == "application/pkix-crl"
    assert x509.load_der_x509_crl(public.content) == crl
    issuer = x509.load_pem_x509_certificates(admin.get_certificate_chain(AUTHORITY).encode())[0]
    assert crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # an EC key


@pytest.mark.matrix(sdk=SDK, feature="certificate by CSR: renewed with the issued certificate", transport="https")
async def test_an_issued_certificate_proves_its_device_where_a_group_says_so(
    service: Service, operator: ProvisioningServiceClient, admin: HomeportAdminClient, tmp_path: Path, device_key: str
) -> None:
    """A group of devices with keys, and one by the issuing authority for those that have a certificate already."""
    name = unique("own-authority")
    admin.create_certificate_authority(name)
    operator.create_or_update_enrollment_group(
        EnrollmentGroup(
            enrollment_group_id=unique("first-time"),
            attestation=AttestationMechanism.for_symmetric_key(primary_key=device_key, secondary_key=device_key),
            certificate_authority_name=name,
        )
    )
    first_time = SymmetricKeySecurityProvider.from_group_key(unique("renewing"), device_key)
    result = await asyncio.to_thread(register, service, first_time, tmp_path)
    holder = issued_to(result, tmp_path)
    with pytest.raises(UnauthorizedError):
        await asyncio.to_thread(register, service, holder, tmp_path, key="next.key")

    operator.create_or_update_enrollment_group(
        EnrollmentGroup(
            enrollment_group_id=unique("renewal"),
            attestation=AttestationMechanism.for_x509_signing(admin.get_certificate_chain(name)),
            certificate_authority_name=name,
        )
    )
    renewed = await asyncio.to_thread(register, service, holder, tmp_path, key="next.key")
    assert renewed.issued_certificate_chain[0] != result.issued_certificate_chain[0]
    admin.revoke_device_certificates(first_time.registration_id)
    with pytest.raises(UnauthorizedError):
        await asyncio.to_thread(register, service, holder, tmp_path, key="third.key")
    assert "revoked" in admin.why(first_time.registration_id)[0].reason
