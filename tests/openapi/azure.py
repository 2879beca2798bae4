"""The device and the service API as published for 2026-11-01, as far as a test needs it: addresses, members, words.

Facts only, written down by us. `provisioningStatus` may be null here: the hosted service was seen to answer so.
"""

from typing import Any

VERSION = "2026-11-01"

Schema = dict[str, Any]


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer", "format": "int32"}
YES: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
ANY: Schema = {"type": "object"}


def _words(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def _all_of(kind: Schema) -> Schema:
    return {"type": "array", "items": kind}


def _model(required: str = "", /, **members: Schema) -> Schema:
    return {"type": "object", "properties": members, **({"required": required.split()} if required else {})}


_PAIR = {"primary": TEXT, "secondary": TEXT}
_STATUS = _words("unassigned", "assigning", "assigned", "failed", "disabled")
_SUBSTATUS = _words("initialAssignment", "deviceDataMigrated", "deviceDataReset", "reprovisionedToInitialAssignment")
_STATE: dict[str, Schema] = {
    "registrationId": TEXT, "createdDateTimeUtc": TIME, "assignedHub": TEXT, "deviceId": TEXT, "status": _STATUS,
    "substatus": _SUBSTATUS, "errorCode": NUMBER, "errorMessage": TEXT, "lastUpdatedDateTimeUtc": TIME, "etag": TEXT,
    "payload": ANY,
}  # fmt: skip
_NAME = {"type": "string", "minLength": 3, "maxLength": 63, "pattern": "^[0-9a-zA-Z][a-zA-Z0-9-]*$"}
_ENROLLMENT: dict[str, Schema] = {
    "attestation": _ref("AttestationMechanism"), "capabilities": _ref("DeviceCapabilities"), "iotHubHostName": TEXT,
    "namespaceName": {"type": "string", "minLength": 3, "maxLength": 64, "pattern": "^[a-z0-9][a-z0-9-]*[a-z0-9]$"},
    "certificateAuthorityName": _NAME, "certificatePolicyName": _NAME, "initialTwin": _ref("InitialTwin"),
    "etag": TEXT, "provisioningStatus": {"enum": ["enabled", "disabled", None]},
    "reprovisionPolicy": _ref("ReprovisionPolicy"), "createdDateTimeUtc": TIME, "lastUpdatedDateTimeUtc": TIME,
    "allocationPolicy": _words("hashed", "geoLatency", "static", "custom"), "iotHubs": _all_of(TEXT),
    "customAllocationDefinition": _ref("CustomAllocationDefinition"),
}  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "AttestationMechanism": _model(
        "type", type=_words("none", "tpm", "x509", "symmetricKey"), tpm=_ref("TpmAttestation"),
        x509=_ref("X509Attestation"), symmetricKey=_model(primaryKey=TEXT, secondaryKey=TEXT),
    ),
    "TpmAttestation": _model("endorsementKey", endorsementKey=TEXT, storageRootKey=TEXT),
    "X509Attestation": _model(
        clientCertificates=_ref("X509Certificates"), signingCertificates=_ref("X509Certificates"),
        caReferences=_model(**_PAIR),
    ),
    "X509Certificates": _model(primary=_ref("X509CertificateWithInfo"), secondary=_ref("X509CertificateWithInfo")),
    "X509CertificateWithInfo": _model(certificate=TEXT, info=_ref("X509CertificateInfo")),
    "X509CertificateInfo": _model(
        "subjectName sha1Thumbprint sha256Thumbprint issuerName notBeforeUtc notAfterUtc serialNumber version",
        subjectName=TEXT, sha1Thumbprint=TEXT, sha256Thumbprint=TEXT, issuerName=TEXT, notBeforeUtc=TIME,
        notAfterUtc=TIME, serialNumber=TEXT, version=NUMBER,
    ),
    "DeviceCapabilities": _model("iotEdge", iotEdge=YES),
    "ReprovisionPolicy": _model(
        "updateHubAssignment migrateDeviceData", updateHubAssignment=YES, migrateDeviceData=YES
    ),
    "CustomAllocationDefinition": _model("webhookUrl apiVersion", webhookUrl=TEXT, apiVersion=TEXT),
    "InitialTwin": _model(tags=ANY, properties=_model(desired=ANY)),
    "IndividualEnrollment": _model(
        "registrationId attestation", registrationId=TEXT, deviceId=TEXT,
        registrationState=_ref("DeviceRegistrationState"), optionalDeviceInformation=ANY, **_ENROLLMENT,
    ),
    "EnrollmentGroup": _model("enrollmentGroupId attestation", enrollmentGroupId=TEXT, **_ENROLLMENT),
    "DeviceRegistrationState": _model(**_STATE),
    "BulkEnrollments": _model(
        "enrollments mode", enrollments=_all_of(_ref("IndividualEnrollment")),
        mode=_words("create", "update", "updateIfMatchETag", "delete"),
    ),
    "BulkGroups": _model(
        "enrollmentGroups mode", enrollmentGroups=_all_of(_ref("EnrollmentGroup")),
        mode=_words("create", "update", "updateIfMatchETag", "delete"),
    ),
    "BulkEnrollmentsResult": _model(
        "isSuccessful errors", isSuccessful=YES, errors=_all_of(_model(
            "registrationId errorCode errorStatus", registrationId=TEXT, errorCode=NUMBER, errorStatus=TEXT)),
    ),
    "BulkGroupsResult": _model(
        "isSuccessful errors", isSuccessful=YES, errors=_all_of(_model(
            "enrollmentGroupId errorCode errorStatus", enrollmentGroupId=TEXT, errorCode=NUMBER, errorStatus=TEXT)),
    ),
    "QuerySpecification": _model("query", query=TEXT),
    "Error": _model(
        "errorCode trackingId message timestampUtc", errorCode=NUMBER, trackingId=TEXT, message=TEXT, info=ANY,
        timestampUtc=TIME,
    ),
    "DeviceRegistration": _model(
        registrationId=TEXT, tpm=_ref("TpmAttestation"), csr=TEXT, payload=ANY
    ),
    "DeviceRegistrationResult": _model(
        tpm=_model(authenticationKey=TEXT),
        x509=_model(certificateInfo=_ref("X509CertificateInfo"), enrollmentGroupId=TEXT,
                    signingCertificateInfo=_ref("X509CertificateInfo")),
        symmetricKey=_model(enrollmentGroupId=TEXT), issuedCertificateChain=_all_of(TEXT), **_STATE,
    ),
    "RegistrationOperationStatus": _model(
        "operationId", operationId=TEXT, status=_STATUS, registrationState=_ref("DeviceRegistrationResult")
    ),
}  # fmt: skip

_API_VERSION = {"name": "api-version", "in": "query", "required": True, "schema": {"const": VERSION}}
_IF_MATCH = {"name": "If-Match", "in": "header", "required": False, "schema": TEXT}
_PAGING = [
    {"name": "x-ms-max-item-count", "in": "header", "required": False, "schema": {"type": "integer"}},
    {"name": "x-ms-continuation", "in": "header", "required": False, "schema": TEXT},
]


def _operation(path: str, answers: dict[str, Schema | None], body: str | None = None, *more: Schema) -> Schema:
    ids = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    responses: dict[str, Any] = {
        status: {"description": "", **({} if kind is None else {"content": {"application/json": {"schema": kind}}})}
        for status, kind in (answers | {"default": _ref("Error")}).items()
    }
    described: Schema = {
        "parameters": [
            _API_VERSION,
            *({"name": name, "in": "path", "required": True, "schema": TEXT | {"minLength": 1}} for name in ids),
            *more,
        ],
        "responses": responses,
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return described


def _collection(path: str, one: str, bulk: str) -> dict[str, Any]:
    item = f"{path}/{{id}}"
    return {
        path: {"post": _operation(path, {"200": _ref(f"{bulk}Result")}, bulk)},
        item: {
            "get": _operation(item, {"200": _ref(one)}),
            "put": _operation(item, {"200": _ref(one)}, one, _IF_MATCH),
            "delete": _operation(item, {"204": None}, None, _IF_MATCH),
        },
        f"{item}/attestationmechanism": {"post": _operation(item, {"200": _ref("AttestationMechanism")})},
        f"{path}/query": {"post": _operation(path, {"200": _all_of(_ref(one))}, "QuerySpecification", *_PAGING)},
    }


def document() -> dict[str, Any]:
    """Return it as an OpenAPI document."""
    one, group = "/registrations/{id}", "/registrations/{id}/query"
    device = "/{idScope}/registrations/{registrationId}"
    operation = _ref("RegistrationOperationStatus")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Device provisioning, as published", "version": VERSION},
        "paths": {
            **_collection("/enrollments", "IndividualEnrollment", "BulkEnrollments"),
            **_collection("/enrollmentGroups", "EnrollmentGroup", "BulkGroups"),
            one: {
                "get": _operation(one, {"200": _ref("DeviceRegistrationState")}),
                "delete": _operation(one, {"204": None}, None, _IF_MATCH),
            },
            group: {"post": _operation(group, {"200": _all_of(_ref("DeviceRegistrationState"))}, None, *_PAGING)},
            device: {"post": _operation(device, {"200": _ref("DeviceRegistrationResult")}, "DeviceRegistration")},
            f"{device}/operations/{{operationId}}": {
                "get": _operation(f"{device}/operations/{{operationId}}", {"200": operation, "202": operation})
            },
            f"{device}/register": {"put": _operation(device, {"200": operation, "202": operation},
                                                     "DeviceRegistration")},
        },
        "components": {"schemas": SCHEMAS},
    }  # fmt: skip
