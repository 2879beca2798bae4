"""The lines of imports and exports: cut, read, written (contract hub.md 10). Pure."""

from collections.abc import Iterator

from msgspec import UNSET

from homeport.hub.errors import HubCode, HubError
from homeport.hub.identifiers import device_of, module_of
from homeport.hub.model import Device, NoAuthentication, SasAuthentication
from homeport.hub.translate import ImportMode, authentication_document, section_document
from homeport.wire import WireError, decode, encode
from homeport.wire import hub_service as wire

MAX_LINE = 1024 * 1024
NO_KEYS = b"This export is without keys: devices that are imported from it are given new ones.\n"
"""The first line of an export without keys, for whoever looks into it; imports pass it over."""


def cut(data: bytes, *, is_last: bool) -> Iterator[bytes]:
    """Yield the whole lines of a piece, each with its end; at the end of the input, the rest too."""
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield data[start : end + 1]
        start = end + 1
    if is_last and start < len(data):
        yield data[start:]


def is_remark(line: bytes, number: int) -> bool:
    """Tell whether a line is no entry: an empty one, or words at the head of an export."""
    text = line.removeprefix(b"\xef\xbb\xbf").strip()
    return not text or (number == 0 and text[:1] != b"{")


def read_line(line: bytes) -> wire.BulkEntry:
    """Read an entry. Raises HubError ARGUMENT_INVALID."""
    try:
        entry = decode(wire.line_decoder, line, limit=MAX_LINE)
    except WireError as error:
        raise HubError(HubCode.ARGUMENT_INVALID, str(error)) from None
    if not entry.status and not entry.module_id:
        raise HubError(HubCode.ARGUMENT_INVALID, "An entry of an import needs status.")
    return entry


def error_line(entry: wire.BulkEntry | None, error: HubError, number: int) -> bytes:
    """Write what went wrong with an entry; None: it could not be read."""
    fault = wire.ImportFault(
        device_id="" if entry is None else entry.id,
        module_id=UNSET if entry is None or not entry.module_id else entry.module_id,
        error_code=error.code.number,
        error_status=error.message if entry is not None else f"Line {number}: {error.message}",
    )
    return encode(fault) + b"\n"


def export_line(device: Device, *, exclude_keys: bool) -> bytes:
    """Write a device or module with its twin, so that an import makes the same of it."""
    identity, twin = device.identity, device.twin
    module_id = module_of(identity.device_id)
    authentication = authentication_document(identity.authentication)
    if exclude_keys and isinstance(identity.authentication, SasAuthentication):
        authentication = wire.Authentication(
            symmetric_key=wire.SymmetricKey(), x509_thumbprint=authentication.x509_thumbprint, type="sas"
        )
    entry = wire.ExportEntry(
        id=device_of(identity.device_id),
        module_id=module_id or UNSET,
        etag=identity.etag,
        # The hub makes these modules with their device, and nobody gives them keys by importing them.
        import_mode=ImportMode.UPDATE_TWIN.value if isinstance(identity.authentication, NoAuthentication) else UNSET,
        status=identity.status.value,
        status_reason=identity.status_reason or UNSET,
        authentication=authentication,
        twin_etag=twin.etag,
        tags=dict(twin.tags),
        properties=wire.TwinProperties(
            desired=section_document(twin.desired), reported=section_document(twin.reported)
        ),
        capabilities=UNSET if module_id else wire.Capabilities(iot_edge=identity.iot_edge),
        device_scope=identity.device_scope or UNSET,
        parent_scopes=list(identity.parent_scopes) or UNSET,
    )
    return encode(entry) + b"\n"
