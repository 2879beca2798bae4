"""The hub's service API as published for 2021-04-12, as far as a test needs it: addresses, members, words.

Facts only, written down by us. Members that the hosted service fills with null may be null here.
"""

from typing import Any

from tests.openapi.describing import (
    ANY,
    IF_MATCH,
    LONG,
    NUMBER,
    PAGING,
    TEXT,
    TIME,
    YES,
    Schema,
    all_of,
    map_of,
    model,
    operation,
    ref,
    words,
)  # fmt: skip

VERSION = "2021-04-12"


def _or_null(kind: Schema) -> Schema:
    return {"anyOf": [kind, {"type": "null"}]}


_STATUS = words("enabled", "disabled")
_CONNECTION = words("Connected", "Disconnected")
_AUTHENTICATION = words("sas", "selfSigned", "certificateAuthority", "none")
_JOB_TYPES = words("unknown", "export", "import", "scheduleDeviceMethod", "scheduleUpdateTwin")
_JOB_STATUS = words("unknown", "enqueued", "running", "completed", "failed", "cancelled", "scheduled", "queued")
_IDENTITY: dict[str, Schema] = {
    "deviceId": TEXT, "generationId": TEXT, "etag": TEXT, "connectionState": _CONNECTION,
    "connectionStateUpdatedTime": TIME, "lastActivityTime": TIME, "cloudToDeviceMessageCount": NUMBER,
    "authentication": ref("AuthenticationMechanism"),
}  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "Error": model("Message", Message=TEXT, ExceptionMessage=TEXT),
    "SymmetricKey": model(primaryKey=_or_null(TEXT), secondaryKey=_or_null(TEXT)),
    "X509Thumbprint": model(primaryThumbprint=_or_null(TEXT), secondaryThumbprint=_or_null(TEXT)),
    "AuthenticationMechanism": model(
        symmetricKey=ref("SymmetricKey"), x509Thumbprint=ref("X509Thumbprint"), type=_AUTHENTICATION
    ),
    "DeviceCapabilities": model(iotEdge=YES),
    "Device": model(
        status=_STATUS, statusReason=_or_null(TEXT), statusUpdatedTime=TIME, capabilities=ref("DeviceCapabilities"),
        deviceScope=TEXT, parentScopes=all_of(TEXT), **_IDENTITY,
    ),
    "Module": model(moduleId=TEXT, managedBy=_or_null(TEXT), **_IDENTITY),
    "PropertyContainer": model(desired=ANY, reported=ANY),
    "ExportImportDevice": model(
        id=TEXT, moduleId=TEXT, eTag=TEXT, status=_STATUS, statusReason=TEXT, twinETag=TEXT, tags=ANY,
        importMode=words(
            "create", "update", "updateIfMatchETag", "delete", "deleteIfMatchETag", "updateTwin",
            "updateTwinIfMatchETag",
        ),
        authentication=ref("AuthenticationMechanism"), properties=ref("PropertyContainer"),
        capabilities=ref("DeviceCapabilities"), deviceScope=TEXT, parentScopes=all_of(TEXT),
    ),
    "BulkRegistryOperationResult": model(
        isSuccessful=YES, errors=all_of(model(deviceId=TEXT, errorCode=TEXT, errorStatus=TEXT, moduleId=_or_null(TEXT),
                                              operation=TEXT)),
        warnings=all_of(model(deviceId=TEXT, warningCode=TEXT, warningStatus=TEXT)),
    ),
    "TwinProperties": model(desired=ANY, reported=ANY),
    "Twin": model(
        deviceId=TEXT, moduleId=TEXT, tags=_or_null(ANY), properties=ref("TwinProperties"), etag=TEXT, version=LONG,
        deviceEtag=TEXT, status=_STATUS, statusReason=_or_null(TEXT), statusUpdateTime=TIME,
        connectionState=_CONNECTION, lastActivityTime=TIME, cloudToDeviceMessageCount=NUMBER,
        authenticationType=_AUTHENTICATION, x509Thumbprint=ref("X509Thumbprint"),
        capabilities=ref("DeviceCapabilities"), deviceScope=TEXT, parentScopes=all_of(TEXT),
    ),
    "QuerySpecification": model(query=TEXT),
    "RegistryStatistics": model(totalDeviceCount=LONG, enabledDeviceCount=LONG, disabledDeviceCount=LONG),
    "ServiceStatistics": model(connectedDeviceCount=LONG),
    "PurgeMessageQueueResult": model(totalMessagesPurged=NUMBER, deviceId=TEXT, moduleId=_or_null(TEXT)),
    "CloudToDeviceMethod": model(
        methodName=TEXT, payload={}, responseTimeoutInSeconds=NUMBER, connectTimeoutInSeconds=NUMBER
    ),
    "CloudToDeviceMethodResult": model(status=NUMBER, payload={}),
    "ConfigurationMetrics": model(results=map_of(LONG), queries=map_of(TEXT)),
    "ConfigurationContent": model(
        deviceContent=_or_null(map_of({})), modulesContent=_or_null(map_of(map_of({}))),
        moduleContent=_or_null(map_of({})),
    ),
    "Configuration": model(
        id=TEXT, schemaVersion=_or_null(TEXT), labels=_or_null(map_of(TEXT)), content=ref("ConfigurationContent"),
        targetCondition=TEXT, createdTimeUtc=TIME, lastUpdatedTimeUtc=TIME, priority=NUMBER,
        systemMetrics=ref("ConfigurationMetrics"), metrics=_or_null(ref("ConfigurationMetrics")), etag=TEXT,
    ),
    "ConfigurationQueriesTestInput": model(targetCondition=TEXT, customMetricQueries=map_of(TEXT)),
    "ConfigurationQueriesTestResponse": model(
        targetConditionError=_or_null(TEXT), customMetricQueryErrors=map_of(TEXT)
    ),
    "JobRequest": model(
        jobId=TEXT, type=_JOB_TYPES, cloudToDeviceMethod=ref("CloudToDeviceMethod"), updateTwin=ref("Twin"),
        queryCondition=TEXT, startTime=TIME, maxExecutionTimeInSeconds=LONG,
    ),
    "JobResponse": model(
        jobId=TEXT, queryCondition=TEXT, createdTime=TIME, startTime=TIME, endTime=TIME, maxExecutionTimeInSeconds=LONG,
        type=_JOB_TYPES, cloudToDeviceMethod=ref("CloudToDeviceMethod"), updateTwin=ref("Twin"), status=_JOB_STATUS,
        failureReason=TEXT, statusMessage=TEXT, deviceJobStatistics=model(
            deviceCount=NUMBER, failedCount=NUMBER, succeededCount=NUMBER, runningCount=NUMBER, pendingCount=NUMBER),
    ),
    "JobProperties": model(
        jobId=TEXT, startTimeUtc=TIME, endTimeUtc=TIME, type=_JOB_TYPES, status=_JOB_STATUS, progress=NUMBER,
        inputBlobContainerUri=TEXT, inputBlobName=TEXT, outputBlobContainerUri=TEXT, outputBlobName=TEXT,
        excludeKeysInExport=YES, storageAuthenticationType=words("keyBased", "identityBased"), failureReason=TEXT,
        includeConfigurations=YES, configurationsBlobName=TEXT,
    ),
    "DigitalTwinPatch": all_of(model("op path", op=words("add", "replace", "remove"), path=TEXT, value={})),
}  # fmt: skip

_TIMEOUTS = [
    {"name": name, "in": "query", "required": False, "schema": NUMBER}
    for name in ("connectTimeoutInSeconds", "responseTimeoutInSeconds")
]
_TOP = {"name": "top", "in": "query", "required": False, "schema": NUMBER}


def _paths() -> dict[str, dict[str, tuple[Any, ...]]]:
    """Return what each address takes: answers, body, and more parameters."""
    twin = {
        "get": ({"200": ref("Twin")},),
        "put": ({"200": ref("Twin")}, ref("Twin"), IF_MATCH),
        "patch": ({"200": ref("Twin")}, ref("Twin"), IF_MATCH),
    }
    method = {"post": ({"200": ref("CloudToDeviceMethodResult")}, ref("CloudToDeviceMethod"))}
    command = {"post": ({"200": {}}, {}, *_TIMEOUTS)}
    removed = ({"204": None}, None, IF_MATCH)
    job, jobs = ref("JobProperties"), all_of(ref("JobProperties"))
    return {
        "/configurations": {"get": ({"200": all_of(ref("Configuration"))}, None, _TOP)},
        "/configurations/testQueries": {
            "post": ({"200": ref("ConfigurationQueriesTestResponse")}, ref("ConfigurationQueriesTestInput"))
        },
        "/configurations/{id}": {
            "get": ({"200": ref("Configuration")},),
            "put": ({"200": ref("Configuration"), "201": ref("Configuration")}, ref("Configuration"), IF_MATCH),
            "delete": removed,
        },
        "/statistics/devices": {"get": ({"200": ref("RegistryStatistics")},)},
        "/statistics/service": {"get": ({"200": ref("ServiceStatistics")},)},
        "/devices": {
            "get": ({"200": all_of(ref("Device"))}, None, _TOP),
            "post": (
                # A refused body is an Error, refused entries are a result: both are 400.
                {"200": ref("BulkRegistryOperationResult"),
                 "400": {"anyOf": [ref("BulkRegistryOperationResult"), ref("Error")]}},
                all_of(ref("ExportImportDevice")),
            ),
        },
        "/devices/query": {"post": ({"200": all_of(ANY)}, ref("QuerySpecification"), *PAGING)},
        "/devices/{id}": {
            "get": ({"200": ref("Device")},),
            "put": ({"200": ref("Device")}, ref("Device"), IF_MATCH),
            "delete": removed,
        },
        "/devices/{id}/applyConfigurationContent": {"post": ({"204": None}, ref("ConfigurationContent"))},
        "/devices/{id}/commands": {"delete": ({"200": ref("PurgeMessageQueueResult")},)},
        "/devices/{id}/modules": {"get": ({"200": all_of(ref("Module"))},)},
        "/devices/{id}/modules/{mid}": {
            "get": ({"200": ref("Module")},),
            "put": ({"200": ref("Module"), "201": ref("Module")}, ref("Module"), IF_MATCH),
            "delete": removed,
        },
        "/twins/{id}": twin,
        "/twins/{id}/modules/{mid}": twin,
        "/twins/{id}/methods": method,
        "/twins/{id}/modules/{mid}/methods": method,
        "/digitaltwins/{id}": {
            "get": ({"200": ANY},),
            "patch": ({"202": None}, ref("DigitalTwinPatch"), IF_MATCH),
        },
        "/digitaltwins/{id}/commands/{commandName}": command,
        "/digitaltwins/{id}/components/{componentPath}/commands/{commandName}": command,
        "/messages/serviceBound/feedback": {"get": ({"200": None, "204": None},)},
        "/messages/serviceBound/feedback/{lockToken}": {"delete": ({"204": None},)},
        "/messages/serviceBound/feedback/{lockToken}/abandon": {"post": ({"204": None},)},
        "/jobs/v2/query": {"get": ({"200": all_of(ref("JobResponse"))},)},
        "/jobs/v2/{id}": {
            "get": ({"200": ref("JobResponse")},),
            "put": ({"200": ref("JobResponse")}, ref("JobRequest")),
        },
        "/jobs/v2/{id}/cancel": {"post": ({"200": ref("JobResponse")},)},
        "/jobs": {"get": ({"200": jobs},)},
        "/jobs/create": {"post": ({"200": job}, job)},
        "/jobs/{id}": {"get": ({"200": job},), "delete": ({"200": {}, "204": None},)},
    }  # fmt: skip


def document() -> dict[str, Any]:
    """Return it as an OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "The hub's service API, as published", "version": VERSION},
        "paths": {
            path: {
                method: operation(VERSION, path, answers, *(rest or (None,)))
                for method, (answers, *rest) in methods.items()
            }
            for path, methods in _paths().items()
        },
        "components": {"schemas": SCHEMAS},
    }
