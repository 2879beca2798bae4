"""Wire documents to the hub's nouns and back (contract hub.md 4 to 6). Refusals are HubError with ARGUMENT_INVALID."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, assert_never

from msgspec import UNSET, Struct

from homeport.hub.errors import HubCode, HubError
from homeport.hub.identifiers import device_of, identity_id, is_part, module_of
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import (
    Authentication,
    CaAuthentication,
    Device,
    DeviceIdentity,
    DeviceStatus,
    JsonObject,
    NoAuthentication,
    SasAuthentication,
    SelfSignedAuthentication,
    TwinSection,
    format_time,
)
from homeport.security.explain import quoted
from homeport.security.sas import SasError, decode_key, encode_key
from homeport.wire import hub_service as wire

MAX_STATUS_REASON = 128

_THUMBPRINT = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")
_ADDED_BY_HUB = frozenset({"$metadata", "$version"})


class ImportMode(StrEnum):
    """What a bulk entry asks for; clients write these in any letter case."""

    CREATE = "create"
    UPDATE = "update"
    UPDATE_IF_MATCH = "updateIfMatchETag"
    CREATE_OR_UPDATE = "createOrUpdate"
    CREATE_OR_UPDATE_IF_MATCH = "createOrUpdateIfMatchETag"
    DELETE = "delete"
    DELETE_IF_MATCH = "deleteIfMatchETag"
    UPDATE_TWIN = "updateTwin"
    UPDATE_TWIN_IF_MATCH = "updateTwinIfMatchETag"


_IMPORT_MODES = {mode.value.lower(): mode for mode in ImportMode}


class TwinWrite(Struct, frozen=True, kw_only=True):
    """The parts of a twin somebody writes; None is not written."""

    tags: JsonObject | None
    desired: JsonObject | None
    reported: JsonObject | None

    @property
    def is_empty(self) -> bool:
        return self.tags is None and self.desired is None and self.reported is None


# ---------------------------------------------------------------- in


def check_device_id(text: str) -> str:
    """Return the id, or refuse it."""
    if not is_part(text):
        raise _invalid(
            f"{quoted(text)} is not the id of a device or module: "
            "1 to 128 of A-Z a-z 0-9 - : . + % _ # * ? ! ( ) , = @ ; $ '"
        )
    return text


def check_identity_id(device_id: str, module_id: str | None) -> str:
    """Return the identity's id, or refuse one of its parts."""
    return identity_id(check_device_id(device_id), None if module_id is None else check_device_id(module_id))


def read_identity(device_id: str, document: wire.DeviceWrite) -> IdentityWrite:
    """Read the body of `PUT /devices/{d}`; its own id must be that of the path."""
    if document.device_id is not None and document.device_id != device_id:
        raise _invalid(f"The body is about {quoted(document.device_id)}, the path about {quoted(device_id)}.")
    return _identity(device_id, document)


def read_module(device_id: str, module_id: str, document: wire.ModuleWrite) -> IdentityWrite:
    """Read the body of `PUT /devices/{d}/modules/{m}`; its own ids must be those of the path."""
    for given, named in ((document.device_id, device_id), (document.module_id, module_id)):
        if given is not None and given != named:
            raise _invalid(f"The body is about {quoted(given)}, the path about {quoted(named)}.")
    return _module(check_identity_id(device_id, module_id), document.authentication, document.managed_by)


def read_bulk_identity(entry: wire.BulkEntry) -> IdentityWrite:
    """Read the identity of a bulk entry."""
    if entry.module_id:
        return _module(check_identity_id(entry.id, entry.module_id), entry.authentication, None)
    return _identity(check_device_id(entry.id), entry)


def read_import_mode(entry: wire.BulkEntry) -> ImportMode:
    """Read what a bulk entry asks for; nothing said means create or update."""
    if not entry.import_mode:
        return ImportMode.CREATE_OR_UPDATE
    mode = _IMPORT_MODES.get(entry.import_mode.lower())
    if mode is None:
        raise _invalid(f"{quoted(entry.import_mode)} is not an import mode.")
    return mode


def read_twin(document: wire.TwinWrite | wire.BulkEntry) -> TwinWrite:
    """Read tags and properties; what a hub added to a section it gave out is taken off again."""
    properties = document.properties or wire.TwinPropertiesWrite()
    return TwinWrite(tags=document.tags, desired=_content(properties.desired), reported=_content(properties.reported))


def read_etag(text: str | None) -> str | None:
    """Take the quotes off an If-Match or body etag; None for a wildcard (contract hub.md 3.4)."""
    if text is None:
        return None
    # Bytes that are no text match no etag, and must not reach the store.
    etag = text.strip().encode(errors="replace").decode().removeprefix("W/").strip('"')
    return None if etag in {"*", ""} else etag


def _module(identity: str, authentication: wire.Authentication | None, managed_by: str | None) -> IdentityWrite:
    """Read a module; `none` asks for keys, as nothing does (contract hub.md 4.5)."""
    if authentication is not None and (authentication.type or "").lower() == "none":
        authentication = None
    if managed_by is not None and len(managed_by) > MAX_STATUS_REASON:
        raise _invalid(f"managedBy is longer than {MAX_STATUS_REASON} characters.")
    return IdentityWrite(
        device_id=identity, authentication=_read_authentication(authentication), managed_by=managed_by or None
    )


def _identity(device_id: str, document: wire.DeviceWrite | wire.BulkEntry) -> IdentityWrite:
    reason = document.status_reason
    if reason is not None and len(reason) > MAX_STATUS_REASON:
        raise _invalid(f"statusReason is longer than {MAX_STATUS_REASON} characters.")
    capabilities = document.capabilities
    return IdentityWrite(
        device_id=device_id,
        authentication=_read_authentication(document.authentication),
        status=_read_status(document.status),
        status_reason=reason,
        iot_edge=bool(capabilities is not None and capabilities.iot_edge),
        device_scope=document.device_scope or None,
        parent_scopes=tuple(document.parent_scopes or ()),
    )


def _read_status(text: str | None) -> DeviceStatus:
    if text is None:
        return DeviceStatus.ENABLED
    try:
        return DeviceStatus(text.lower())
    except ValueError:
        raise _invalid(f"status is enabled or disabled, not {quoted(text)}.") from None


def _read_authentication(document: wire.Authentication | None) -> Authentication | None:
    """Return None where the hub is to make keys (contract hub.md 4.5)."""
    if document is None:
        return None
    match (document.type or "sas").lower():
        case "sas":
            return _read_keys(document.symmetric_key or wire.SymmetricKey())
        case "selfsigned":
            thumbprints = document.x509_thumbprint or wire.X509Thumbprint()
            return SelfSignedAuthentication(
                primary_thumbprint=_read_thumbprint(thumbprints.primary_thumbprint),
                secondary_thumbprint=_read_thumbprint(thumbprints.secondary_thumbprint),
            )
        case "certificateauthority":
            return CaAuthentication()
        case _:
            raise _invalid(
                f"authentication.type is sas, selfSigned or certificateAuthority, not {quoted(document.type or '')}."
            )


def _read_keys(keys: wire.SymmetricKey) -> SasAuthentication | None:
    if not keys.primary_key and not keys.secondary_key:
        return None
    if not (keys.primary_key and keys.secondary_key):
        raise _invalid("Either no keys or both keys can be set.")
    try:
        return SasAuthentication(primary_key=decode_key(keys.primary_key), secondary_key=decode_key(keys.secondary_key))
    except SasError as error:
        raise _invalid(f"Invalid device key length: {error}.") from None


def _read_thumbprint(text: str | None) -> str | None:
    if not text:
        return None
    if _THUMBPRINT.fullmatch(text) is None:
        raise _invalid("A thumbprint has 40 (SHA-1) or 64 (SHA-256) hexadecimal digits and no separators.")
    return text


def _content(section: Mapping[str, Any] | None) -> JsonObject | None:
    if section is None or _ADDED_BY_HUB.isdisjoint(section):
        return section
    return {key: value for key, value in section.items() if key not in _ADDED_BY_HUB}


def _invalid(message: str) -> HubError:
    return HubError(HubCode.ARGUMENT_INVALID, message)


# ---------------------------------------------------------------- out


def device_document(identity: DeviceIdentity, messages: int = 0) -> wire.Device:
    """Write an identity, keys included: only for those who may read the registry. `messages` wait in its queue."""
    return wire.Device(
        device_id=identity.device_id,
        generation_id=identity.generation_id,
        etag=identity.etag,
        connection_state=identity.connection_state.value,
        status=identity.status.value,
        status_reason=identity.status_reason,
        connection_state_updated_time=format_time(identity.connection_state_updated_at),
        status_updated_time=format_time(identity.status_updated_at),
        last_activity_time=format_time(identity.last_activity_at),
        cloud_to_device_message_count=messages,
        authentication=authentication_document(identity.authentication),
        capabilities=wire.Capabilities(iot_edge=identity.iot_edge),
        device_scope=identity.device_scope or UNSET,
        parent_scopes=list(identity.parent_scopes) or UNSET,
    )


def module_document(identity: DeviceIdentity, messages: int = 0) -> wire.Module:
    """Write a module's identity, keys included."""
    return wire.Module(
        module_id=module_of(identity.device_id) or "",
        managed_by=identity.managed_by,
        device_id=device_of(identity.device_id),
        generation_id=identity.generation_id,
        etag=identity.etag,
        connection_state=identity.connection_state.value,
        connection_state_updated_time=format_time(identity.connection_state_updated_at),
        last_activity_time=format_time(identity.last_activity_at),
        cloud_to_device_message_count=messages,
        authentication=authentication_document(identity.authentication),
    )


def twin_document(device: Device, messages: int = 0) -> wire.Twin:
    """Write a twin as services see it, with what it shows of its identity; `messages` wait in the device's queue."""
    identity, twin = device.identity, device.twin
    authentication = authentication_document(identity.authentication)
    return wire.Twin(
        device_id=device_of(twin.device_id),
        module_id=module_of(twin.device_id) or UNSET,
        etag=twin.etag,
        device_etag=identity.etag,
        status=identity.status.value,
        status_reason=identity.status_reason or UNSET,
        status_update_time=format_time(identity.status_updated_at),
        connection_state=identity.connection_state.value,
        last_activity_time=format_time(identity.last_activity_at),
        cloud_to_device_message_count=messages,
        authentication_type=authentication.type or "sas",
        x509_thumbprint=authentication.x509_thumbprint or wire.X509Thumbprint(),
        model_id=twin.model_id or "",
        version=twin.version,
        tags=dict(twin.tags),
        properties=wire.TwinProperties(
            desired=section_document(twin.desired), reported=section_document(twin.reported)
        ),
        configurations={name: {"status": status} for name, status in twin.configurations.items()} or UNSET,
        capabilities=wire.Capabilities(iot_edge=identity.iot_edge),
        device_scope=identity.device_scope or UNSET,
        parent_scopes=list(identity.parent_scopes) or UNSET,
    )


def device_twin_document(device: Device) -> dict[str, Any]:
    """Write a twin as its own device sees it: content and versions, no tags, no metadata (contract hub.md 13.6)."""
    twin = device.twin
    return {
        "desired": {**twin.desired.content, "$version": twin.desired.version},
        "reported": {**twin.reported.content, "$version": twin.reported.version},
    }


def section_document(section: TwinSection) -> dict[str, Any]:
    """Write a section of a twin as services see it."""
    return {**section.content, "$metadata": section.metadata, "$version": section.version}


def authentication_document(authentication: Authentication) -> wire.Authentication:
    """Write how an identity proves itself, keys included."""
    match authentication:
        case SasAuthentication(primary_key=primary, secondary_key=secondary):
            return wire.Authentication(
                symmetric_key=wire.SymmetricKey(primary_key=encode_key(primary), secondary_key=encode_key(secondary)),
                x509_thumbprint=wire.X509Thumbprint(),
                type="sas",
            )
        case SelfSignedAuthentication(primary_thumbprint=first, secondary_thumbprint=second):
            return wire.Authentication(
                symmetric_key=wire.SymmetricKey(),
                x509_thumbprint=wire.X509Thumbprint(primary_thumbprint=first, secondary_thumbprint=second),
                type="selfSigned",
            )
        case NoAuthentication():
            return wire.Authentication(
                symmetric_key=wire.SymmetricKey(), x509_thumbprint=wire.X509Thumbprint(), type="none"
            )
        case CaAuthentication():
            return wire.Authentication(
                symmetric_key=wire.SymmetricKey(),
                x509_thumbprint=wire.X509Thumbprint(),
                type="certificateAuthority",
            )
        case _:
            assert_never(authentication)
