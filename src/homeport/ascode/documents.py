"""Documents in one spelling, so that what is declared and what a service returns can be compared; pure.

What a service adds, repeats or spells in its own way is no difference (contract dps.md 8.3, 8.4).
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from homeport.client import AllocationPolicy, ProvisioningStatus
from homeport.security.x509 import CertificateError, parse_certificate

JsonObject = dict[str, Any]

MADE_BY_SERVICE = frozenset({"etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "registrationState"})
_ID_CHARACTERS = 52
_SECRETS = frozenset({"primaryKey", "secondaryKey", "connectionString", "webhookUrl"})
_ENUMERATIONS = {
    "allocationPolicy": [policy.value for policy in AllocationPolicy],
    "provisioningStatus": [status.value for status in ProvisioningStatus],
}
_FREE = frozenset({"initialTwin", "optionalDeviceInformation"})
"""Members whose content is the user's: there, null and empty mean something."""


class Difference(Struct, frozen=True, kw_only=True):
    """One member that differs; None stands for absent. Secrets are told apart, never shown."""

    path: str
    before: Any
    after: Any
    secret: bool = False


def canonical(document: Mapping[str, Any]) -> JsonObject:
    """Return an enrollment's or group's document in the one spelling that is compared."""
    result = {name: _value(name, value) for name, value in document.items() if name not in MADE_BY_SERVICE}
    if result.get("provisioningStatus") is None:
        result["provisioningStatus"] = ProvisioningStatus.ENABLED.value
    if result.get("capabilities") == {"iotEdge": False}:
        del result["capabilities"]
    return {name: value for name, value in result.items() if value is not None and value != []}


def declares_keys(document: Mapping[str, Any]) -> bool:
    """Tell whether symmetric keys are part of what is declared."""
    return bool(_keys(document))


def comparable(existing: JsonObject, wanted: JsonObject) -> tuple[JsonObject, JsonObject]:
    """Return both canonical documents with just the symmetric keys that are declared: others are the service's."""
    declared = _keys(wanted)
    stored = {name: _keys(existing).get(name) for name in declared}
    return _with_keys(existing, stored), _with_keys(wanted, declared)


def _keys(document: Mapping[str, Any]) -> Mapping[str, Any]:
    attestation = document.get("attestation")
    keys = attestation.get("symmetricKey") if isinstance(attestation, Mapping) else None
    return keys if isinstance(keys, Mapping) else {}


def _with_keys(document: JsonObject, keys: Mapping[str, Any]) -> JsonObject:
    attestation = document.get("attestation")
    if not isinstance(attestation, dict):
        return document
    rest = {name: value for name, value in attestation.items() if name != "symmetricKey"}
    return {**document, "attestation": {**rest, "symmetricKey": dict(keys)} if keys else rest}


def differences(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> Iterator[Difference]:
    """Yield what must change to get from one canonical document to the other, member by member, in name order."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        here = f"{path}.{name}" if path else name
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, here)
        elif old != new or type(old) is not type(new):
            secret = name in _SECRETS
            yield Difference(path=here, before=None if secret else old, after=None if secret else new, secret=secret)


def unknown_members(given: Any, understood: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of members that were given and are not in what a model made of them: misspelt ones.

    A member that was given as null counts as understood.
    """
    if isinstance(given, dict) and isinstance(understood, dict):
        for name, value in given.items():
            here = f"{path}.{name}" if path else str(name)
            if value is None or name in _FREE:
                continue
            if name not in understood:
                yield here
            else:
                yield from unknown_members(value, understood[name], here)


def _value(name: str, value: Any) -> Any:
    if name in _FREE:
        return value
    if name in _ENUMERATIONS and isinstance(value, str):
        return next((known for known in _ENUMERATIONS[name] if known.lower() == value.lower()), value)
    if name == "attestation" and isinstance(value, dict):
        return _attestation(value)
    if isinstance(value, dict):
        members = {inner: _value(inner, member) for inner, member in value.items()}
        return {inner: member for inner, member in members.items() if member is not None}
    return value


def _attestation(document: JsonObject) -> JsonObject:
    result = {name: _value(name, value) for name, value in document.items() if value}
    x509 = result.get("x509")
    if isinstance(x509, dict):
        result["x509"] = {
            name: _slots(value) if name in {"clientCertificates", "signingCertificates"} else value
            for name, value in x509.items()
        }
    tpm = result.get("tpm")
    if isinstance(tpm, dict) and isinstance(hashes := tpm.get("endorsementKeyHashes"), list):
        result["tpm"] = {**tpm, "endorsementKeyHashes": [_digest(each) for each in hashes]}
    return result


def _digest(text: Any) -> Any:
    """Write a digest in hex, as services answer it; it may be declared as the registration id made of it."""
    try:
        is_id = len(text) == _ID_CHARACTERS
        return base64.b32decode(text.upper() + "====").hex().upper() if is_id else text.upper()
    except (AttributeError, TypeError, ValueError):
        return text  # refused elsewhere


def _slots(certificates: Any) -> Any:
    """Reduce certificates to their thumbprints. A service shows a lone primary in both places."""
    if not isinstance(certificates, dict):
        return certificates
    slots = {name: _thumbprint(slot) for name, slot in certificates.items() if slot}
    if slots.get("secondary") == slots.get("primary"):
        slots.pop("secondary", None)
    return slots


def _thumbprint(slot: Any) -> Any:
    if not isinstance(slot, dict):
        return slot
    info = slot.get("info")
    if isinstance(slot.get("certificate"), str):
        try:
            return {"sha256": parse_certificate(slot["certificate"]).info.sha256_thumbprint.lower()}
        except CertificateError:
            return {"sha256": None}
    return {"sha256": str(info.get("sha256Thumbprint")).lower()} if isinstance(info, dict) else slot
