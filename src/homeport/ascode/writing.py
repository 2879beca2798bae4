"""Writes what a service has as a file of declarations, the counterpart of `files`."""

from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import IO, Any

import msgspec
import tomli_w
import yaml

from homeport.ascode.documents import MADE_BY_SERVICE, JsonObject
from homeport.client import AccessPolicy, CaCertificate, EnrollmentGroup, IndividualEnrollment, LinkedHub
from homeport.client.aio import HomeportAdminClient

_PAGE = 1000


class Format(StrEnum):
    """Shapes of a file. `jsonl` is written as it is read; the others are made in memory first."""

    TOML = "toml"
    YAML = "yaml"
    JSON = "json"
    JSONL = "jsonl"


class UnwritableError(Exception):
    """What there is cannot be spelt in this format."""


async def write_declarations(admin: HomeportAdminClient, file: IO[str], form: Format, *, secrets: bool) -> int:
    """Write policies, hubs, CA certificates, groups and enrollments, return how many; keys only with `secrets`.

    Without their keys, things that are declared anew elsewhere get new ones. What no export tells, a hub's connection
    string, becomes a reference to an environment variable. Raises ClientError and UnwritableError.
    """
    count = 0
    if form is Format.JSONL:
        async for section, name, document in _everything(admin, secrets=secrets):
            line = {"section": section, "name": name, "document": document}
            file.write(msgspec.json.encode(line).decode() + "\n")
            count += 1
        return count
    sections: dict[str, JsonObject] = {}
    async for section, name, document in _everything(admin, secrets=secrets):
        sections.setdefault(section, {})[name] = document
        count += 1
    file.write(_WRITERS[form](sections))
    return count


async def _everything(admin: HomeportAdminClient, *, secrets: bool) -> AsyncIterator[tuple[str, str, JsonObject]]:
    for policy in await admin.policies():
        yield "policies", policy.name, await _policy(admin, policy, secrets=secrets)
    for hub in await admin.hubs():
        yield "hubs", hub.name, _hub(hub)
    for authority in await admin.ca_certificates():
        yield "caCertificates", authority.name, _authority(authority)
    async for group in admin.export_enrollment_groups(page_size=_PAGE):
        yield "enrollmentGroups", group.enrollment_group_id, _document(group, "enrollmentGroupId", secrets=secrets)
    async for each in admin.export_individual_enrollments(page_size=_PAGE):
        yield "enrollments", each.registration_id, _document(each, "registrationId", secrets=secrets)


def _authority(one: CaCertificate) -> JsonObject:
    revocation = {name: value for name, value in msgspec.to_builtins(one.revocation).items() if value is not None}
    return {"certificate": one.certificate, "isVerified": one.is_verified, "revocation": revocation}


async def _policy(admin: HomeportAdminClient, policy: AccessPolicy, *, secrets: bool) -> JsonObject:
    document: JsonObject = {"rights": list(policy.rights)}
    if secrets:
        told = await admin.policy_keys(policy.name)
        document |= {"primaryKey": told.primary_key, "secondaryKey": told.secondary_key}
    return document


def _hub(hub: LinkedHub) -> JsonObject:
    document: JsonObject = {"allocationWeight": hub.allocation_weight}
    if hub.draining:
        document["draining"] = True
    if hub.max_devices is not None:
        document["maxDevices"] = hub.max_devices
    if hub.region is not None:
        document["region"] = hub.region
    if not hub.apply_allocation_policy:
        document["applyAllocationPolicy"] = False
    if hub.local:
        return {"hostNames": [hub.host_name], **document}
    variable = "".join(letter if letter.isalnum() else "_" for letter in hub.name.upper())
    return {"connectionString": f"env:{variable}_CONNECTION_STRING", **document}


def _document(item: IndividualEnrollment | EnrollmentGroup, id_member: str, *, secrets: bool) -> JsonObject:
    document: JsonObject = msgspec.to_builtins(item)
    for member in (id_member, *MADE_BY_SERVICE):
        document.pop(member, None)
    if not secrets:
        document["attestation"].pop("symmetricKey", None)
    return document


def _toml(sections: JsonObject) -> str:
    try:
        return tomli_w.dumps(sections, multiline_strings=True)
    except TypeError as error:
        raise UnwritableError("TOML cannot spell null, which a twin here has: take yaml or json") from error


def _json(sections: JsonObject) -> str:
    return msgspec.json.format(msgspec.json.encode(sections)).decode() + "\n"


class _YamlDumper(yaml.SafeDumper):
    """Certificates as blocks of lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_YamlDumper.add_representer(str, _text)


def _yaml(sections: JsonObject) -> str:
    text: str = yaml.dump(sections, Dumper=_YamlDumper, sort_keys=False, allow_unicode=True, width=120)
    return text


_WRITERS: dict[Format, Callable[[Any], str]] = {Format.TOML: _toml, Format.YAML: _yaml, Format.JSON: _json}
