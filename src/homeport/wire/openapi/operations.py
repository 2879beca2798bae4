"""Every operation of the device API, the service API and the administration under `/homeport/`, as a table.

What each means is told in one line; the documents are the structs that the server itself reads and writes.
"""

from typing import Any

from msgspec import UNSET, Struct, field

from homeport.wire import dps_admin, dps_certificates, dps_counts, dps_device, dps_policies
from homeport.wire import dps_service as service


class RegisterBody(dps_device.RegisterBody, frozen=True, kw_only=True):
    """Body of register and of the status lookup; `payload` is any JSON value, for custom allocation."""

    payload: Any = UNSET


DEVICE, SERVICE, HOMEPORT = "device", "service", "homeport"


class Operation(Struct, frozen=True, kw_only=True):
    """One method at one address. `answers` maps a status to its document, None for none."""

    method: str
    path: str
    name: str
    summary: str
    tag: str
    right: str | None = None
    """What a shared access policy must allow; None for devices, who prove themselves, and for what everybody may."""
    body: Any = None
    body_required: bool = True
    answers: dict[int, Any] = field(default_factory=dict)
    if_match: bool = False
    paged: str | None = None
    """The value of `x-ms-item-type`, for listings."""
    query: tuple[str, ...] = ()
    """Optional parameters behind the question mark."""
    api_version: bool = True
    media_type: str = "application/json"
    """Of the body; a body that is `bytes` is sent as it is."""


_READ, _WRITE, _CONFIG, _CONFIG_READ = "EnrollmentRead", "EnrollmentWrite", "ServiceConfig", "ServiceConfigRead"
_STATUS_READ, _STATUS_WRITE = "RegistrationStatusRead", "RegistrationStatusWrite"


def _device(method: str, path: str, name: str, summary: str, **more: Any) -> Operation:
    return Operation(
        method=method, path=f"/{{idScope}}/registrations/{{registrationId}}{path}", name=name, summary=summary,
        tag=DEVICE, **more,
    )  # fmt: skip


_DEVICES = (
    _device(
        "put",
        "/register",
        "RuntimeRegistration_RegisterDevice",
        "Register: prove who the device is, and get a hub.",
        body=RegisterBody,
        body_required=False,
        answers={202: dps_device.OperationStatus},
    ),
    _device(
        "get",
        "/operations/{operationId}",
        "RuntimeRegistration_OperationStatusLookup",
        "What became of a registration.",
        answers={200: dps_device.OperationStatus, 202: dps_device.OperationStatus},
    ),
    _device(
        "post",
        "",
        "RuntimeRegistration_DeviceRegistrationStatusLookup",
        "Where the device lives now.",
        body=RegisterBody,
        body_required=False,
        answers={200: dps_device.RegistrationResult},
    ),
)


def _collection(path: str, noun: str, kind: Any, bulk: Any, item_type: str, words: str) -> tuple[Operation, ...]:
    one = f"{path}/{{id}}"
    return (
        Operation(method="get", path=one, name=f"{noun}_Get", summary=f"Read {words}, without secrets.", tag=SERVICE,
                  right=_READ, answers={200: kind}),
        Operation(method="put", path=one, name=f"{noun}_CreateOrUpdate", tag=SERVICE, right=_WRITE, body=kind,
                  summary=f"Create {words}; with If-Match, replace it.", answers={200: kind}, if_match=True),
        Operation(method="delete", path=one, name=f"{noun}_Delete", summary=f"Delete {words}.", tag=SERVICE,
                  right=_WRITE, answers={204: None}, if_match=True),
        Operation(method="post", path=f"{one}/attestationmechanism", name=f"{noun}_GetAttestationMechanism",
                  summary="Read how identity is proven, symmetric keys included.", tag=SERVICE, right=_WRITE,
                  answers={200: service.AttestationMechanism}),
        Operation(method="post", path=f"{path}/query", name=f"{noun}_Query", tag=SERVICE, right=_READ,
                  summary="List what a query asks for.", body=service.QuerySpecification, body_required=False,
                  answers={200: list[kind]}, paged=item_type),
        Operation(method="post", path=path, name=f"{noun}_RunBulkOperation", tag=SERVICE, right=_WRITE, body=bulk,
                  summary="Create, update or delete at most 10, each for itself.", answers={200: service.BulkResult}),
    )  # fmt: skip


_SERVICE = (
    *_collection("/enrollments", "IndividualEnrollment", service.IndividualEnrollment, service.BulkEnrollments,
                 "Enrollment", "an enrollment"),
    *_collection("/enrollmentGroups", "EnrollmentGroup", service.EnrollmentGroup, service.BulkEnrollmentGroups,
                 "EnrollmentGroup", "an enrollment group"),
    Operation(method="get", path="/registrations/{id}", name="DeviceRegistrationState_Get", tag=SERVICE,
              summary="Read the registration of a device.", right=_STATUS_READ,
              answers={200: service.DeviceRegistrationState}),
    Operation(method="delete", path="/registrations/{id}", name="DeviceRegistrationState_Delete", tag=SERVICE,
              summary="Forget a registration.", right=_STATUS_WRITE, answers={204: None}, if_match=True),
    Operation(method="post", path="/registrations/{id}/query", name="DeviceRegistrationState_Query", tag=SERVICE,
              summary="List the registrations made through a group.", right=_STATUS_READ,
              body=service.QuerySpecification, body_required=False,
              answers={200: list[service.DeviceRegistrationState]}, paged="DeviceRegistration"),
)  # fmt: skip


def _own(method: str, path: str, name: str, summary: str, right: str | None, answer: Any, **more: Any) -> Operation:
    answers = {204: None} if answer is None else {200: answer}
    return Operation(method=method, path=f"/homeport{path}", name=name, summary=summary, tag=HOMEPORT, right=right,
                     answers=answers, api_version=False, **more)  # fmt: skip


_HUB, _POLICY, _AUTHORITY = "/hubs/{name}", "/policies/{name}", "/certificates/{name}"
_HOMEPORT = (
    _own("get", "/why/{id}", "Why", "The last attempts of a device to register, and why they ended so.", _STATUS_READ,
         list[dps_admin.Attempt], query=("limit",)),
    _own("get", "/attempts", "Attempts_List", "All attempts, newest first.", _STATUS_READ, list[dps_admin.Attempt],
         paged=""),
    _own("get", "/attempts/{trackingId}", "Attempts_Get", "One attempt.", _STATUS_READ, dps_admin.Attempt),
    _own("get", "/registrations", "Registrations_List", "Registrations of all devices.", _STATUS_READ,
         list[dps_admin.Registration], paged="DeviceRegistration", query=("query",)),
    _own("post", "/registrations/query", "Registrations_Query", "Registrations that a query asks for.", _STATUS_READ,
         list[dps_admin.Registration], paged="DeviceRegistration", body=service.QuerySpecification,
         body_required=False),
    _own("get", "/counts", "Counts_Get", "How much there is.", _READ, dps_counts.Counts),
    _own("get", "/export/enrollments", "Export_Enrollments", "Enrollments whole, with keys and certificates.", _WRITE,
         list[service.IndividualEnrollment], paged="Enrollment"),
    _own("get", "/export/enrollmentGroups", "Export_Groups", "Groups whole, with keys and certificates.", _WRITE,
         list[service.EnrollmentGroup], paged="EnrollmentGroup"),
    _own("get", "/hubs", "Hubs_List", "The linked hubs.", _CONFIG, list[dps_admin.LinkedHub]),
    _own("get", _HUB, "Hubs_Get", "A linked hub.", _CONFIG, dps_admin.LinkedHub),
    _own("put", _HUB, "Hubs_Create", "Create a hub here, or link one elsewhere.", _CONFIG, dps_admin.LinkedHub,
         body=dps_admin.HubCreation),
    _own("patch", _HUB, "Hubs_Update", "Change a hub's share of the devices.", _CONFIG, dps_admin.LinkedHub,
         body=dps_admin.HubChange),
    _own("delete", _HUB, "Hubs_Unlink", "Assign no more devices to a hub.", _CONFIG, None),
    _own("get", "/policies", "Policies_List", "The shared access policies, without keys.", _CONFIG_READ,
         list[dps_policies.AccessPolicy]),
    _own("get", _POLICY, "Policies_Get", "A policy, without keys.", _CONFIG_READ, dps_policies.AccessPolicy),
    _own("put", _POLICY, "Policies_Create", "Create a policy.", _CONFIG, dps_policies.AccessPolicy,
         body=dps_policies.PolicyCreation),
    _own("patch", _POLICY, "Policies_Update", "Change what a policy allows.", _CONFIG, dps_policies.AccessPolicy,
         body=dps_policies.PolicyChange, if_match=True),
    _own("delete", _POLICY, "Policies_Delete", "Delete a policy.", _CONFIG, None, if_match=True),
    _own("post", f"{_POLICY}/keys", "Policies_Keys", "Read a policy with its keys.", _CONFIG,
         dps_policies.AccessPolicy),
    _own("post", f"{_POLICY}/regenerate", "Policies_Regenerate", "Replace one key of a policy.", _CONFIG,
         dps_policies.AccessPolicy, body=dps_policies.KeyChoice, if_match=True),
    _own("post", f"{_POLICY}/swap", "Policies_Swap", "Let a policy's keys change places.", _CONFIG,
         dps_policies.AccessPolicy, if_match=True),
    _own("get", "/certificates", "Certificates_List", "The certificate authorities.", _CONFIG_READ,
         list[dps_certificates.CaCertificate]),
    _own("get", _AUTHORITY, "Certificates_Get", "A certificate authority.", _CONFIG_READ,
         dps_certificates.CaCertificate),
    _own("put", _AUTHORITY, "Certificates_Upload", "Upload a CA certificate; with If-Match, replace it.", _CONFIG,
         dps_certificates.CaCertificate, body=dps_certificates.CaCertificateUpload, if_match=True),
    _own("patch", _AUTHORITY, "Certificates_Update", "Vouch for an authority; change what is asked about revocation.",
         _CONFIG, dps_certificates.CaCertificate, body=dps_certificates.CaCertificateChange, if_match=True),
    _own("delete", _AUTHORITY, "Certificates_Delete", "Delete a CA certificate that nothing refers to.", _CONFIG, None,
         if_match=True),
    _own("post", f"{_AUTHORITY}/generateVerificationCode", "Certificates_GenerateVerificationCode",
         "Make the code that a proof of possession carries.", _CONFIG, dps_certificates.CaCertificate, if_match=True),
    _own("post", f"{_AUTHORITY}/verify", "Certificates_Verify", "Prove possession of an authority's key.", _CONFIG,
         dps_certificates.CaCertificate, body=dps_certificates.Verification, if_match=True),
    _own("put", f"{_AUTHORITY}/crl", "Certificates_UploadCrl", "Upload an authority's revocation list, PEM or DER.",
         _CONFIG, dps_certificates.CaCertificate, body=bytes, media_type="application/octet-stream"),
    _own("delete", f"{_AUTHORITY}/crl", "Certificates_DeleteCrl", "Forget an authority's revocation list.", _CONFIG,
         None),
    _own("get", "/expiring", "Expiring_List", "Certificates that end soon.", _CONFIG_READ,
         dps_certificates.ExpiryReport, query=("days",)),
)  # fmt: skip

DEVICES_AND_ENROLLMENTS: tuple[Operation, ...] = (*_DEVICES, *_SERVICE, *_HOMEPORT)
