"""The arithmetic of twins: merge, replace, versions, `$metadata`, and what content may look like (contract hub.md 6).

Pure: values in, new values out. Who may write, and where twins are kept, is not known here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import JsonObject, Twin, TwinSection, format_time
from homeport.values import replace

MAX_TAGS_BYTES = 8 * 1024
MAX_SECTION_BYTES = 32 * 1024
MAX_DEPTH = 10
MAX_KEY_BYTES = 1024
MAX_STRING_BYTES = 4 * 1024
MIN_INTEGER = -(2**52)
MAX_INTEGER = 2**52 - 1

_SHOWN_CHARACTERS = 60
_FORBIDDEN_IN_KEYS = frozenset(".$# ")
_NUMBER_BYTES = 8
_BOOLEAN_BYTES = 4
_FIRST_PRINTABLE = 0x20
_C1_CONTROLS = range(0x7F, 0xA0)


class TwinContentError(HubError):
    """The content breaks a rule of contract hub.md 6.3; the text says where, and is fit for the caller."""

    def __init__(self, message: str, code: HubCode = HubCode.ARGUMENT_INVALID) -> None:
        super().__init__(code, message)


class TwinSizeError(TwinContentError):
    """The section would be larger than its limit."""

    def __init__(self, message: str) -> None:
        super().__init__(message, HubCode.BODY_TOO_LARGE)


def check_content(content: JsonObject, where: str) -> None:
    """Refuse keys, values, integers and depths that a section (`where`: `tags`, `properties.desired` …) may not hold.

    Depth counts objects and arrays below the section. Sizes are checked on the result, by `check_size`.
    Raises TwinContentError.
    """
    _check_object(content, where, MAX_DEPTH)


def check_size(content: JsonObject, where: str, limit: int) -> None:
    """Raise TwinSizeError if the section weighs more than `limit` bytes."""
    size = content_size(content)
    if size > limit:
        raise TwinSizeError(f"{where} would take {size} bytes; the limit is {limit}.")


def content_size(value: Any) -> int:
    """Weigh content as the contract does: UTF-8 of keys and strings, 8 bytes a number, 4 a boolean, null nothing."""
    match value:
        case bool():
            return _BOOLEAN_BYTES
        case str():
            return _text_size(value)
        case int() | float():
            return _NUMBER_BYTES
        case Mapping():
            return sum(_text_size(key) + content_size(member) for key, member in value.items())
        case list() | tuple():
            return sum(content_size(item) for item in value)
        case _:
            return 0


def merge(content: JsonObject, patch: JsonObject) -> dict[str, Any]:
    """Apply a merge patch: objects merge, null removes, everything else replaces; emptied objects stay."""
    merged = dict(content)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            old = merged.get(key)
            merged[key] = merge(old if isinstance(old, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def difference(old: JsonObject, new: JsonObject) -> dict[str, Any]:
    """Return the merge patch that makes `new` of `old`; empty if nothing differs."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = difference(before, value)
            if inner:
                patch[name] = inner
        elif name not in old or before != value or type(before) is not type(value):
            patch[name] = value
    return patch


def new_section(content: JsonObject | None, now: datetime, *, versioned: bool) -> TwinSection:
    """Make the section a device starts with; `versioned` sections (desired) count versions in their metadata.

    Raises TwinContentError if the content is not allowed.
    """
    where = _name(versioned=versioned)
    if not content:
        return TwinSection(content={}, metadata={"$lastUpdated": format_time(None)}, version=1)
    check_content(content, where)
    clean = merge({}, content)
    check_size(clean, where, MAX_SECTION_BYTES)
    return TwinSection(content=clean, metadata=_metadata(clean, _stamp(now, 1, versioned=versioned)), version=1)


def patch_section(section: TwinSection, patch: JsonObject, now: datetime, *, versioned: bool) -> TwinSection:
    """Merge a patch into a section. An empty patch changes nothing, any other counts as one version.

    Raises TwinContentError if the patch or its result is not allowed.
    """
    if not patch:
        return section
    where = _name(versioned=versioned)
    check_content(patch, where)
    content = merge(section.content, patch)
    check_size(content, where, MAX_SECTION_BYTES)
    version = section.version + 1
    stamp = _stamp(now, version, versioned=versioned)
    return TwinSection(
        content=content,
        metadata=_patch_metadata(section.metadata, section.content, patch, stamp),
        version=version,
    )


def replace_section(section: TwinSection, content: JsonObject, now: datetime, *, versioned: bool) -> TwinSection:
    """Put new content in the place of the old, as one version; null members are dropped. Raises TwinContentError."""
    where = _name(versioned=versioned)
    check_content(content, where)
    clean = merge({}, content)
    check_size(clean, where, MAX_SECTION_BYTES)
    version = section.version + 1
    return TwinSection(
        content=clean, metadata=_metadata(clean, _stamp(now, version, versioned=versioned)), version=version
    )


def new_twin(
    device_id: str,
    now: datetime,
    *,
    tags: JsonObject | None = None,
    desired: JsonObject | None = None,
    reported: JsonObject | None = None,
) -> Twin:
    """Make the twin of a new device; every version starts at 1. Raises TwinContentError."""
    return Twin(
        device_id=device_id,
        tags=_clean_tags(tags) if tags else {},
        desired=new_section(desired, now, versioned=True),
        reported=new_section(reported, now, versioned=False),
    )


def patch_twin(twin: Twin, now: datetime, *, tags: JsonObject | None, desired: JsonObject | None) -> Twin:
    """Merge what a service writes; None and empty patches change nothing, and then the same twin comes back.

    Raises TwinContentError.
    """
    if not (tags or desired):
        return twin
    merged = twin.tags
    if tags:
        check_content(tags, "tags")
        merged = merge(twin.tags, tags)
        check_size(merged, "tags", MAX_TAGS_BYTES)
    return replace(
        twin,
        tags=merged,
        desired=patch_section(twin.desired, desired or {}, now, versioned=True),
        version=twin.version + 1,
    )


def replace_twin(twin: Twin, now: datetime, *, tags: JsonObject | None, desired: JsonObject | None) -> Twin:
    """Replace tags and desired properties whole; what is None becomes empty. Raises TwinContentError."""
    return replace(
        twin,
        tags=_clean_tags(tags or {}),
        desired=replace_section(twin.desired, desired or {}, now, versioned=True),
        version=twin.version + 1,
    )


def report(twin: Twin, patch: JsonObject, now: datetime) -> Twin:
    """Merge what a device reports; the version of the twin as a whole stays. Raises TwinContentError."""
    return replace(twin, reported=patch_section(twin.reported, patch, now, versioned=False))


def _clean_tags(tags: JsonObject) -> dict[str, Any]:
    check_content(tags, "tags")
    clean = merge({}, tags)
    check_size(clean, "tags", MAX_TAGS_BYTES)
    return clean


def _name(*, versioned: bool) -> str:
    return "properties.desired" if versioned else "properties.reported"


def _stamp(now: datetime, version: int, *, versioned: bool) -> dict[str, Any]:
    stamp: dict[str, Any] = {"$lastUpdated": format_time(now)}
    if versioned:
        stamp["$lastUpdatedVersion"] = version
    return stamp


def _metadata(content: JsonObject, stamp: Mapping[str, Any]) -> dict[str, Any]:
    """Mirror the content with one stamp everywhere."""
    metadata = dict(stamp)
    for key, value in content.items():
        metadata[key] = _metadata(value, stamp) if isinstance(value, Mapping) else dict(stamp)
    return metadata


def _patch_metadata(
    metadata: JsonObject, content: JsonObject, patch: JsonObject, stamp: Mapping[str, Any]
) -> dict[str, Any]:
    """Stamp what the patch touches and every object above it; forget what it removes."""
    patched = {**metadata, **stamp}
    for key, value in patch.items():
        if value is None:
            patched.pop(key, None)
        elif isinstance(value, Mapping):
            old = content.get(key)
            if isinstance(old, Mapping):
                patched[key] = _patch_metadata(metadata.get(key, {}), old, value, stamp)
            else:
                patched[key] = _patch_metadata({}, {}, value, stamp)
        else:
            patched[key] = dict(stamp)
    return patched


def _check_object(content: JsonObject, where: str, depth_left: int) -> None:
    for key, value in content.items():
        _check_key(key, where)
        _check_value(value, f"{where}.{_shown(key)}", depth_left)


def _check_value(value: Any, where: str, depth_left: int) -> None:
    match value:
        case None | bool() | float():
            pass
        case int():
            if not MIN_INTEGER <= value <= MAX_INTEGER:
                raise TwinContentError(f"{where}: integers lie between {MIN_INTEGER} and {MAX_INTEGER}.")
        case str():
            # A character has at least one byte: short text needs no encoding to be judged.
            if len(value) * 4 > MAX_STRING_BYTES and len(value.encode()) > MAX_STRING_BYTES:
                raise TwinContentError(f"{where}: strings are at most {MAX_STRING_BYTES} bytes long.")
        case Mapping() | list() | tuple():
            if depth_left == 0:
                raise TwinContentError(f"{where}: objects and arrays nest at most {MAX_DEPTH} levels deep.")
            if isinstance(value, Mapping):
                _check_object(value, where, depth_left - 1)
            else:
                for item in value:
                    _check_value(item, where, depth_left - 1)
        case _:
            raise TwinContentError(f"{where}: a {type(value).__name__} cannot be part of a twin.")


def _check_key(key: str, where: str) -> None:
    if not key:
        raise TwinContentError(f"{where}: a member has an empty name.")
    if len(key) * 4 > MAX_KEY_BYTES and len(key.encode()) > MAX_KEY_BYTES:
        raise TwinContentError(f"{where}: the name {_shown(key)} is longer than {MAX_KEY_BYTES} bytes.")
    if not _FORBIDDEN_IN_KEYS.isdisjoint(key) or any(_is_control(character) for character in key):
        raise TwinContentError(
            f"{where}: the name {_shown(key)} holds a character that is not allowed there: '.', '$', '#', a space, "
            "or a control character."
        )


def _is_control(character: str) -> bool:
    code = ord(character)
    return code < _FIRST_PRINTABLE or code in _C1_CONTROLS


def _text_size(text: str) -> int:
    if text.isascii() and text.isprintable():
        return len(text)
    return len("".join(c for c in text if not _is_control(c)).encode())


def _shown(key: str) -> str:
    shown = key if len(key) <= _SHOWN_CHARACTERS else key[:_SHOWN_CHARACTERS] + "…"
    return shown if shown.isprintable() else ascii(shown)
