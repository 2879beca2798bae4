"""The device and the service API as published for 2026-11-01, as far as a test needs it: addresses, members, words.

Facts only, written down by us. `provisioningStatus` may be null here: the hosted service was seen to answer so.
"""

from typing import Any

from tests.openapi.describing import (
    ANY,
    IF_MATCH,
    NUMBER,
    PAGING,
    TEXT,
    TIME,
    YES,
    Schema,
    all_of,
    model,
    operation,
    ref,
    words,
)  # fmt: skip

VERSION = "2026-11-01"

_PAIR = {"primary": TEXT, "secondary": TEXT}
_STATUS = words("unassigned", "assigning", "assigned", "failed", "disabled")
_SUBSTATUS = words("initialAssignment", "deviceDataMigrated", "deviceDataReset", "reprovisionedToInitialAssignment")
_STATE: dict[str, Schema] = {
    "registrationId": TEXT, "createdDateTimeUtc": TIME, "assignedHub": TEXT, "deviceId": TEXT, "status": _STATUS,
    "substatus": _SUBSTATUS, "errorCode": NUMBER, "errorMessage": TEXT, "lastUpdatedDateTimeUtc": TIME, "etag": TEXT,
    "payload": ANY,
}  # fmt: skip
_NAME = {"type": "string", "minLength": 3, "maxLength": 63, "pattern": "^[0-9a-zA-Z][a-zA-Z0-9-]*$"}
_ENROLLMENT: dict[str, Schema] = {
    "attestation": ref("AttestationMechanism"), "capabilities": ref("DeviceCapabilities"), "iotHubHostName": TEXT,
    "namespaceName": {"type": "string", "minLength": 3, "maxLength": 64, "pattern": "^[a-z0-9][a-z0-9-]*[a-z0-9]$"},
    "certificateAuthorityName": _NAME, "certificatePolicyName": _NAME, "initialTwin": ref("InitialTwin"),
    "etag": TEXT, "provisioningStatus": {"enum": ["enabled", "disabled", None]},
    "reprovisionPolicy": ref("ReprovisionPolicy"), "createdDateTimeUtc": TIME, "lastUpdatedDateTimeUtc": TIME,
    "allocationPolicy": words("hashed", "geoLatency", "static", "custom"), "iotHubs": all_of(TEXT),
    "customAllocationDefinition": ref("CustomAllocationDefinition"),
}  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "AttestationMechanism": model(
        "type", type=words("none", "tpm", "x509", "symmetricKey"), tpm=ref("TpmAttestation"),
        x509=ref("X509Attestation"), symmetricKey=model(primaryKey=TEXT, secondaryKey=TEXT),
    ),
    "TpmAttestation": model("endorsementKey", endorsementKey=TEXT, storageRootKey=TEXT),
    "X509Attestation": model(
        clientCertificates=ref("X509Certificates"), signingCertificates=ref("X509Certificates"),
        caReferences=model(**_PAIR),
    ),
    "X509Certificates": model(primary=ref("X509CertificateWithInfo"), secondary=ref("X509CertificateWithInfo")),
    "X509CertificateWithInfo": model(certificate=TEXT, info=ref("X509CertificateInfo")),
    "X509CertificateInfo": model(
        "subjectName sha1Thumbprint sha256Thumbprint issuerName notBeforeUtc notAfterUtc serialNumber version",
        subjectName=TEXT, sha1Thumbprint=TEXT, sha256Thumbprint=TEXT, issuerName=TEXT, notBeforeUtc=TIME,
        notAfterUtc=TIME, serialNumber=TEXT, version=NUMBER,
    ),
    "DeviceCapabilities": model("iotEdge", iotEdge=YES),
    "ReprovisionPolicy": model(
        "updateHubAssignment migrateDeviceData", updateHubAssignment=YES, migrateDeviceData=YES
    ),
    "CustomAllocationDefinition": model("webhookUrl apiVersion", webhookUrl=TEXT, apiVersion=TEXT),
    "InitialTwin": model(tags=ANY, properties=model(desired=ANY)),
    "IndividualEnrollment": model(
        "registrationId attestation", registrationId=TEXT, deviceId=TEXT,
        registrationState=ref("DeviceRegistrationState"), optionalDeviceInformation=ANY, **_ENROLLMENT,
    ),
    "EnrollmentGroup": model("enrollmentGroupId attestation", enrollmentGroupId=TEXT, **_ENROLLMENT),
    "DeviceRegistrationState": model(**_STATE),
    "BulkEnrollments": model(
        "enrollments mode", enrollments=all_of(ref("IndividualEnrollment")),
        mode=words("create", "update", "updateIfMatchETag", "delete"),
    ),
    "BulkGroups": model(
        "enrollmentGroups mode", enrollmentGroups=all_of(ref("EnrollmentGroup")),
        mode=words("create", "update", "updateIfMatchETag", "delete"),
    ),
    "BulkEnrollmentsResult": model(
        "isSuccessful errors", isSuccessful=YES, errors=all_of(model(
            "registrationId errorCode errorStatus", registrationId=TEXT, errorCode=NUMBER, errorStatus=TEXT)),
    ),
    "BulkGroupsResult": model(
        "isSuccessful errors", isSuccessful=YES, errors=all_of(model(
            "enrollmentGroupId errorCode errorStatus", enrollmentGroupId=TEXT, errorCode=NUMBER, errorStatus=TEXT)),
    ),
    "QuerySpecification": model("query", query=TEXT),
    "Error": model(
        "errorCode trackingId message timestampUtc", errorCode=NUMBER, trackingId=TEXT, message=TEXT, info=ANY,
        timestampUtc=TIME,
    ),
    "DeviceRegistration": model(
        registrationId=TEXT, tpm=ref("TpmAttestation"), csr=TEXT, payload=ANY
    ),
    "DeviceRegistrationResult": model(
        tpm=model(authenticationKey=TEXT),
        x509=model(certificateInfo=ref("X509CertificateInfo"), enrollmentGroupId=TEXT,
                    signingCertificateInfo=ref("X509CertificateInfo")),
        symmetricKey=model(enrollmentGroupId=TEXT), issuedCertificateChain=all_of(TEXT), **_STATE,
    ),
    "RegistrationOperationStatus": model(
        "operationId", operationId=TEXT, status=_STATUS, registrationState=ref("DeviceRegistrationResult")
    ),
}  # fmt: skip


def _operation(path: str, answers: dict[str, Schema | None], body: str | None = None, *more: Schema) -> Schema:
    return operation(VERSION, path, answers, None if body is None else ref(body), *more)


def _collection(path: str, one: str, bulk: str) -> dict[str, Any]:
    item = f"{path}/{{id}}"
    return {
        path: {"post": _operation(path, {"200": ref(f"{bulk}Result")}, bulk)},
        item: {
            "get": _operation(item, {"200": ref(one)}),
            "put": _operation(item, {"200": ref(one)}, one, IF_MATCH),
            "delete": _operation(item, {"204": None}, None, IF_MATCH),
        },
        f"{item}/attestationmechanism": {"post": _operation(item, {"200": ref("AttestationMechanism")})},
        f"{path}/query": {"post": _operation(path, {"200": all_of(ref(one))}, "QuerySpecification", *PAGING)},
    }


def document() -> dict[str, Any]:
    """Return it as an OpenAPI document."""
    one, group = "/registrations/{id}", "/registrations/{id}/query"
    device = "/{idScope}/registrations/{registrationId}"
    operation = ref("RegistrationOperationStatus")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Device provisioning, as published", "version": VERSION},
        "paths": {
            **_collection("/enrollments", "IndividualEnrollment", "BulkEnrollments"),
            **_collection("/enrollmentGroups", "EnrollmentGroup", "BulkGroups"),
            one: {
                "get": _operation(one, {"200": ref("DeviceRegistrationState")}),
                "delete": _operation(one, {"204": None}, None, IF_MATCH),
            },
            group: {"post": _operation(group, {"200": all_of(ref("DeviceRegistrationState"))}, None, *PAGING)},
            device: {"post": _operation(device, {"200": ref("DeviceRegistrationResult")}, "DeviceRegistration")},
            f"{device}/operations/{{operationId}}": {
                "get": _operation(f"{device}/operations/{{operationId}}", {"200": operation, "202": operation})
            },
            f"{device}/register": {"put": _operation(device, {"200": operation, "202": operation},
                                                     "DeviceRegistration")},
        },
        "components": {"schemas": SCHEMAS},
    }  # fmt: skip
