"""Enrollments as forms: from a document to fields, and from what was typed to a document or to words beside the field.

Only form is judged here; whether the service takes it, the service says.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from homeport.client.models import (
    AllocationPolicy,
    AttestationMechanism,
    CustomAllocationDefinition,
    DeviceCapabilities,
    Enrollment,
    EnrollmentGroup,
    IndividualEnrollment,
    InitialTwin,
    InitialTwinProperties,
    ProvisioningStatus,
    ReprovisionPolicy,
)
from homeport.nesting import nests_beyond
from homeport.portal import group_attestation

_REGISTRATION_ID = re.compile(r"[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9\-]")
_DEVICE_ID = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_WEBHOOK_VERSION = "2021-10-01"


class Kind(StrEnum):
    """The two kinds of enrollment; the value is the first segment of their pages."""

    INDIVIDUAL = "enrollments"
    GROUP = "groups"


class Reprovision(StrEnum):
    """The choices of reprovisioning (contract dps.md 9.4)."""

    DEFAULT = ""
    MIGRATE = "migrate"
    RESET = "reset"
    NEVER = "never"
    OTHER = "other"
    """Neither: kept as it is."""


@dataclass(slots=True, kw_only=True)
class Form:
    """What stands in the fields, and what is wrong with it, by the name of the field."""

    kind: Kind
    values: dict[str, str] = field(default_factory=dict, repr=False)
    hubs: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    def error(self, name: str) -> str:
        return self.errors.get(name, "")


def blank(kind: Kind) -> Form:
    """Return the form of a new enrollment."""
    values = {"mechanism": "symmetricKey", "keys": "generate", "status": "enabled", "webhook_version": _WEBHOOK_VERSION}
    return Form(kind=kind, values=values)


def fill(kind: Kind, enrollment: Enrollment) -> Form:
    """Return the form of a stored enrollment; secrets and certificates stay empty, which keeps them."""
    custom = enrollment.custom_allocation_definition
    values = {
        "id": enrollment_id(enrollment),
        "etag": enrollment.etag or "",
        "mechanism": enrollment.attestation.type,
        "keys": "keep",
        "status": "disabled" if is_disabled(enrollment) else "enabled",
        "iot_edge": "on" if enrollment.capabilities and enrollment.capabilities.iot_edge else "",
        "allocation": enrollment.allocation_policy or "",
        "webhook_url": custom.webhook_url if custom else "",
        "webhook_version": custom.api_version if custom else _WEBHOOK_VERSION,
        "reprovision": reprovision(enrollment.reprovision_policy).value,
        "initial_twin": _document(enrollment.initial_twin),
    }
    if kind is Kind.GROUP:
        values |= group_attestation.filled(enrollment.attestation)
    elif tpm := enrollment.attestation.tpm:
        values |= {"endorsement_key": tpm.endorsement_key, "storage_root_key": tpm.storage_root_key or ""}
    if isinstance(enrollment, IndividualEnrollment):
        values |= {
            "device_id": enrollment.device_id or "",
            "device_information": _document(enrollment.optional_device_information),
        }
    return Form(kind=kind, values=values, hubs=list(enrollment.iot_hubs or ()))


def parse(
    kind: Kind, values: Mapping[str, str], hubs: Sequence[str], stored: Enrollment | None
) -> tuple[Form, Enrollment | None]:
    """Read what was typed. Returns the form, and the enrollment unless the form now holds errors.

    `stored` is the enrollment that is edited; what the form does not show is kept from it.
    """
    form = Form(kind=kind, values=dict(values), hubs=list(dict.fromkeys(hubs)))
    reader = _Reader(form)
    # Without a mechanism there is no enrollment to speak of; the placeholder never leaves this function.
    attestation = _attestation(reader, stored) or AttestationMechanism(type="none")
    common: dict[str, Any] = {
        "attestation": attestation,
        "provisioning_status": ProvisioningStatus.DISABLED if form["status"] == "disabled" else "enabled",
        "capabilities": _capabilities(form, stored),
        "allocation_policy": _allocation(reader),
        "custom_allocation_definition": _custom(reader),
        "iot_hubs": form.hubs or (None if stored is None or stored.iot_hubs is None else []),
        "reprovision_policy": _policy(reader, stored),
        "initial_twin": _twin(reader),
    }
    if kind is Kind.INDIVIDUAL:
        common["device_id"] = (
            reader.matching(
                "device_id",
                _DEVICE_ID,
                "A device id has 1 to 128 letters, digits or any of - : . + % _ # * ? ! ( ) , = @ ; $ '",
            )
            or None
        )
        common["optional_device_information"] = reader.json_object("device_information")
    if stored is not None:
        return form, None if form.errors else msgspec.structs.replace(stored, **common, etag=form["etag"] or None)
    identifier = reader.matching(
        "id",
        _REGISTRATION_ID,
        "1 to 128 letters, digits or any of - . _ : and a letter, a digit or - at the end.",
        required="Say which id the device registers with." if kind is Kind.INDIVIDUAL else "Give the group a name.",
    )
    if form.errors:
        return form, None
    if kind is Kind.INDIVIDUAL:
        return form, IndividualEnrollment(registration_id=identifier, **common)
    return form, EnrollmentGroup(enrollment_group_id=identifier, **common)


def enrollment_id(enrollment: Enrollment) -> str:
    """Return the registration id or the group id."""
    if isinstance(enrollment, IndividualEnrollment):
        return enrollment.registration_id
    assert isinstance(enrollment, EnrollmentGroup)
    return enrollment.enrollment_group_id


def is_disabled(enrollment: Enrollment) -> bool:
    return (enrollment.provisioning_status or "").lower() == ProvisioningStatus.DISABLED


def reprovision(policy: ReprovisionPolicy | None) -> Reprovision:
    """Name a policy's choice."""
    if policy is None:
        return Reprovision.DEFAULT
    match policy.update_hub_assignment, policy.migrate_device_data:
        case True, True:
            return Reprovision.MIGRATE
        case True, False:
            return Reprovision.RESET
        case False, False:
            return Reprovision.NEVER
    return Reprovision.OTHER


class _Reader:
    """Reads fields; what is wrong ends up beside the field."""

    def __init__(self, form: Form) -> None:
        self.form = form

    def fail(self, name: str, message: str) -> None:
        self.form.errors.setdefault(name, message)

    def text(self, name: str, *, required: str = "") -> str:
        text = self.form[name].strip()
        if required and not text:
            self.fail(name, required)
        return text

    def matching(self, name: str, pattern: re.Pattern[str], message: str, *, required: str = "") -> str:
        text = self.text(name, required=required)
        if text and not pattern.fullmatch(text):
            self.fail(name, message)
        return text

    def base64(self, name: str, *, required: str = "") -> str | None:
        text = "".join(self.text(name, required=required).split())
        if text and not _BASE64.fullmatch(text):
            self.fail(name, "This is not Base64: only letters, digits, + / and = at the end.")
        return text or None

    def certificate(self, name: str, *, required: str = "") -> str | None:
        text = self.text(name, required=required)
        if not text:
            return None
        if "PRIVATE KEY-----" in text:
            self.fail(name, "This is a private key. Keep it on the device; paste the certificate.")
            self.form.values[name] = ""  # it must not travel once more
        elif "-----BEGIN" in text and "-----BEGIN CERTIFICATE-----" not in text:
            self.fail(name, "This PEM text is no certificate: it should begin with -----BEGIN CERTIFICATE-----.")
        elif "-----BEGIN CERTIFICATE-----" in text and "-----END CERTIFICATE-----" not in text:
            self.fail(name, "The end of the certificate is missing: -----END CERTIFICATE-----.")
        elif text.count("-----BEGIN CERTIFICATE-----") > 1:
            self.fail(name, "Several certificates were pasted. Give exactly the one that is trusted.")
        elif "-----BEGIN" not in text and not _BASE64.fullmatch("".join(text.split())):
            self.fail(name, "Paste the certificate as PEM text, or the Base64 of its DER form.")
        return text

    def json_object(self, name: str) -> dict[str, Any] | None:
        text = self.text(name)
        if not text:
            return None
        if nests_beyond(text.encode()):
            self.fail(name, "This is nested too deeply.")
            return None
        try:
            value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            self.fail(name, f"Line {error.lineno}, column {error.colno}: {error.msg}.")
        except ValueError as error:
            self.fail(name, f"{error}.")
        else:
            if isinstance(value, dict):
                return value
            self.fail(name, "This is JSON, but no object: it should begin with { and end with }.")
        return None


def _attestation(reader: _Reader, stored: Enrollment | None) -> AttestationMechanism | None:
    form = reader.form
    kept = stored.attestation if stored is not None and stored.attestation.type == form["mechanism"] else None
    match form["mechanism"]:
        case "tpm" if form.kind is Kind.INDIVIDUAL:
            key = reader.base64("endorsement_key", required="A TPM is known by its endorsement key.")
            root = reader.base64("storage_root_key")
            return AttestationMechanism.for_tpm(endorsement_key=key or "", storage_root_key=root)
        case "tpm":
            return group_attestation.tpms(reader)
        case "x509":
            referred = group_attestation.by_reference(reader) if form.kind is Kind.GROUP else None
            return referred or _x509(reader, kept)
        case "symmetricKey":
            if kept is not None and form["keys"] == "keep":
                return AttestationMechanism.for_symmetric_key()
            if form["keys"] != "own":
                return AttestationMechanism.for_symmetric_key()
            primary = reader.base64("primary_key", required="Give both keys, or have them generated.")
            secondary = reader.base64("secondary_key", required="Give both keys, or have them generated.")
            return AttestationMechanism.for_symmetric_key(primary_key=primary, secondary_key=secondary)
    reader.fail("mechanism", "Choose how the device proves its identity.")
    return None


def _x509(reader: _Reader, kept: AttestationMechanism | None) -> AttestationMechanism | None:
    group = reader.form.kind is Kind.GROUP
    needed = "" if kept else ("Paste the certificate that signs the devices." if group else "Paste the certificate.")
    primary = reader.certificate("primary_certificate", required=needed)
    secondary = reader.certificate("secondary_certificate")
    if primary is None and secondary is not None:
        reader.fail("primary_certificate", "To change the secondary, paste the primary again too.")
    if primary is None:
        return kept
    make = AttestationMechanism.for_x509_signing if group else AttestationMechanism.for_x509_client
    return make(primary, secondary)


def _capabilities(form: Form, stored: Enrollment | None) -> DeviceCapabilities | None:
    if form["iot_edge"]:
        return DeviceCapabilities(iot_edge=True)
    return None if stored is None or stored.capabilities is None else DeviceCapabilities(iot_edge=False)


def _allocation(reader: _Reader) -> str | None:
    policy = reader.text("allocation")
    if policy and policy not in {member.value for member in AllocationPolicy}:
        reader.fail("allocation", "Choose one of the policies.")
    if policy == AllocationPolicy.STATIC and len(reader.form.hubs) != 1:
        reader.fail("hubs", "A static assignment needs exactly one hub.")
    return policy or None


def _custom(reader: _Reader) -> CustomAllocationDefinition | None:
    if reader.form["allocation"] != AllocationPolicy.CUSTOM:
        return None
    url = reader.text("webhook_url", required="Custom allocation asks a webhook: give its address.")
    if url and not url.startswith(("https://", "http://")):
        reader.fail("webhook_url", "The address begins with https:// or http://.")
    version = reader.text("webhook_version", required="Say which version of the request the webhook reads.")
    return CustomAllocationDefinition(webhook_url=url, api_version=version)


def _policy(reader: _Reader, stored: Enrollment | None) -> ReprovisionPolicy | None:
    match reader.form["reprovision"]:
        case Reprovision.MIGRATE:
            return ReprovisionPolicy(update_hub_assignment=True, migrate_device_data=True)
        case Reprovision.RESET:
            return ReprovisionPolicy(update_hub_assignment=True, migrate_device_data=False)
        case Reprovision.NEVER:
            return ReprovisionPolicy(update_hub_assignment=False, migrate_device_data=False)
        case Reprovision.OTHER:
            return None if stored is None else stored.reprovision_policy
        case Reprovision.DEFAULT:
            return None
    reader.fail("reprovision", "Choose one of the policies.")
    return None


def _twin(reader: _Reader) -> InitialTwin | None:
    document = reader.json_object("initial_twin")
    if not document:
        return None
    twin = _section(reader, document, "", {"tags", "properties"})
    properties = _section(reader, twin.get("properties"), "properties", {"desired"})
    desired = _section(reader, properties.get("desired"), "properties.desired", None)
    tags = _section(reader, twin.get("tags"), "tags", None)
    return InitialTwin(
        tags=None if twin.get("tags") is None else tags,
        properties=None
        if twin.get("properties") is None
        else InitialTwinProperties(desired=None if properties.get("desired") is None else desired),
    )


def _section(reader: _Reader, value: Any, name: str, allowed: set[str] | None) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        reader.fail("initial_twin", f"{name} should be an object: {{ … }}.")
        return {}
    if allowed is not None and (unknown := sorted(value.keys() - allowed)):
        where = f" in {name}" if name else ""
        expected = " and ".join(sorted(allowed))
        reader.fail("initial_twin", f"There is no “{unknown[0][:60]}”{where}; only {expected}.")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"“{repeated[:60]}” stands there twice")
    return dict(pairs)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _document(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False)
