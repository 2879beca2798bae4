"""Builds the OpenAPI document out of the table of operations."""

import re
from collections.abc import Iterable
from inspect import cleandoc
from typing import Any

import msgspec

from homeport.wire import dps_device
from homeport.wire.dps_service import EnrollmentGroup, IndividualEnrollment
from homeport.wire.openapi.operations import DEVICE, Operation
from homeport.wire.openapi.table import OPERATIONS

_REFERENCE = "#/components/schemas/{name}"
_ID = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": r"^[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9\-]$"}
_PARAMETERS: dict[str, dict[str, Any]] = {
    "id": _ID,
    "registrationId": _ID,
    "idScope": {"type": "string", "pattern": "^[0-9A-Za-z]{1,32}$"},
    "operationId": {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,100}$"},
    "trackingId": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9-]+$"},
    "name": {"type": "string", "pattern": r"^[A-Za-z0-9\-._]{0,63}[A-Za-z0-9\-]$"},
    "certificateName": {"type": "string", "pattern": r"^[A-Za-z0-9\-._]{0,63}[A-Za-z0-9\-]$"},
    "days": {"type": "integer", "minimum": 0, "maximum": 60},
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
    "query": {"type": "string", "maxLength": 512},
    "number": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    "after": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    "last": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    "address": {"type": "string", "pattern": r"^[0-9a-fA-F.:]{2,45}$"},
    "kind": {"type": "string", "maxLength": 64},
    "subject": {"type": "string", "maxLength": 256},
    "since": {"type": "string", "format": "date-time"},
    "until": {"type": "string", "format": "date-time"},
    "order": {"type": "string", "enum": ["asc", "desc"]},
    "force": {"type": "boolean"},
    "faultId": {"type": "string", "pattern": "^f-[0-9]{1,9}$"},
    "fault": {"type": "string", "maxLength": 64},
    "deviceId": {"type": "string", "maxLength": 257},
    "endpoint": {"type": "string", "pattern": r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,48}[A-Za-z0-9])?$"},
    "group": {"type": "string", "pattern": r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,48}[A-Za-z0-9])?|\$Default)$"},
    "route": {"type": "string", "pattern": r"^([A-Za-z0-9._-]{1,64}|\$fallback)$"},
    "key": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$"},
    "version": {"type": "integer", "minimum": 1, "maximum": 1000},
    "serialNumber": {"type": "string", "pattern": "^[0-9a-fA-F]{1,40}$"},
    "certificateAuthorityName": {"type": "string", "maxLength": 63},
    "endsWithinSeconds": {"type": "integer", "minimum": 0, "maximum": 10**9},
}
_WORDS = {
    ("AttestationMechanism", "type"): ("tpm", "x509", "symmetricKey"),
    ("IndividualEnrollment", "provisioningStatus"): ("enabled", "disabled"),
    ("EnrollmentGroup", "provisioningStatus"): ("enabled", "disabled"),
    ("IndividualEnrollment", "allocationPolicy"): ("hashed", "geoLatency", "static", "custom"),
    ("EnrollmentGroup", "allocationPolicy"): ("hashed", "geoLatency", "static", "custom"),
    ("BulkEnrollments", "mode"): ("create", "update", "updateIfMatchETag", "delete"),
    ("BulkEnrollmentGroups", "mode"): ("create", "update", "updateIfMatchETag", "delete"),
    ("KeyChoice", "key"): ("primary", "secondary"),
    ("AdministratorCreation", "role"): ("reader", "operator", "owner"),
    ("AdministratorChange", "role"): ("reader", "operator", "owner"),
    ("FaultRequest", "kind"): ("drop", "latency", "throttle", "error", "clock", "outage"),
    ("FaultRequest", "at"): ("hub", "provisioning"),
    ("SubscriptionRequest", "mode"): ("structured", "binary"),
}
"""Words that a member may be; they are accepted in any letter case, so the schema names them as examples."""
_ITEMS = {("BulkEnrollments", "enrollments"): "IndividualEnrollment",
          ("BulkEnrollmentGroups", "enrollmentGroups"): "EnrollmentGroup"}  # fmt: skip


def describe(version: str) -> dict[str, Any]:
    """Return the document; `version` is the program's."""
    schemas = _schemas(OPERATIONS)
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Homeport",
            "version": version,
            "description": (
                "The device and the service API of a device provisioning service, as Azure's clients speak them, and "
                "Homeport's own administration. Enumerations are accepted in any letter case; unknown members are "
                "ignored."
            ),
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "sharedAccessSignature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "SharedAccessSignature sr=…&sig=…&se=…&skn=…; devices may present a certificate.",
                }
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": list(_parameters(operation)),
        "responses": _responses(operation),
        "security": [{"sharedAccessSignature": []}],
    }
    if operation.right is not None:
        described["description"] = f"Needs the right {operation.right}."
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {operation.media_type: {"schema": _body(operation.body)}},
        }
    return described


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": _PARAMETERS[name]}
    if operation.api_version:
        form = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$", "examples": ["2021-10-01"]}
        yield {"name": "api-version", "in": "query", "required": True, "schema": form}
    for name in operation.query:
        yield {"name": name, "in": "query", "required": False, "schema": _PARAMETERS[name]}
    if operation.if_match:
        tag = {"type": "string", "pattern": "^[!-~]{1,100}$"}
        yield {"name": "If-Match", "in": "header", "required": False, "schema": tag}
    if operation.paged is not None:
        size = {"type": "integer", "minimum": 1, "maximum": 1000}
        yield {"name": "x-ms-max-item-count", "in": "header", "required": False, "schema": size}
        token = {"type": "string", "pattern": "^[A-Za-z0-9_=-]{1,2048}$"}
        yield {"name": "x-ms-continuation", "in": "header", "required": False, "schema": token}


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in operation.answers.items():
        answer: dict[str, Any] = {"description": "Done." if kind is None else "The answer."}
        headers = {"x-ms-request-id": {"schema": {"type": "string"}}}
        if operation.paged is not None:
            headers["x-ms-continuation"] = {"schema": {"type": "string"}}
        if operation.paged:
            headers["x-ms-item-type"] = {"schema": {"const": operation.paged}}
        if operation.tag == DEVICE:
            headers["Retry-After"] = {"schema": {"type": "string", "pattern": "^[0-9]+$"}}
        answer["headers"] = headers
        if kind is not None:
            answer["content"] = {"application/json": {"schema": _schema(kind)}}
        responses[str(status)] = answer
    refusal = _schema(dps_device.ErrorBody)
    if operation.name == "RuntimeRegistration_RegisterDevice":
        challenge = {"anyOf": [refusal, _schema(dps_device.Challenge)]}
        responses["401"] = {
            "description": "Refused; or the question to a TPM, which then sends the same request again.",
            "content": {"application/json": {"schema": challenge}},
        }
    responses["default"] = {
        "description": "Refused: the code's first three digits are the status.",
        "content": {"application/json": {"schema": refusal}},
    }
    return responses


def _body(kind: Any) -> dict[str, Any]:
    return {"type": "string", "format": "binary"} if kind is bytes else _schema(kind)


def _schema(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REFERENCE)
    return schema


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    kinds = [kind for operation in operations for kind in (operation.body, *operation.answers.values()) if kind]
    _, schemas = msgspec.json.schema_components(
        [*kinds, dps_device.ErrorBody, dps_device.Challenge, IndividualEnrollment, EnrollmentGroup],
        ref_template=_REFERENCE,
    )
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = cleandoc(schema["description"])  # as Python has docstrings from 3.13 on
    for (name, member), words in _WORDS.items():
        schemas[name]["properties"][member]["examples"] = list(words)
    for (name, member), item in _ITEMS.items():
        # They are read one by one, so the struct does not say what they are.
        schemas[name]["properties"][member] |= {"items": {"$ref": _REFERENCE.format(name=item)}, "maxItems": 10}
    return dict(sorted(schemas.items()))
