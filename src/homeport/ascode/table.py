"""Reads individual enrollments from CSV: a line for each device, a column for each member."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec
from msgspec import Struct

from homeport.ascode.documents import JsonObject
from homeport.nesting import nests_beyond
from homeport.values import hiding

MAX_CERTIFICATE_BYTES = 64 * 1024
_MAX_FIELD = 128 * 1024

PLAIN = {
    "registrationid": "registrationId",
    "deviceid": "deviceId",
    "provisioningstatus": "provisioningStatus",
    "allocationpolicy": "allocationPolicy",
    "iothubhostname": "iotHubHostName",
}
KEYS = {"primarykey": "primaryKey", "secondarykey": "secondaryKey"}
TPM = {"endorsementkey": "endorsementKey", "storagerootkey": "storageRootKey"}
CERTIFICATES = {"certificate": "primary", "secondarycertificate": "secondary"}
OTHERS = ("attestation", "iothubs", "iotedge")
SECTIONS = {"tags.": ("tags",), "desired.": ("properties", "desired")}
"""Column prefixes of the initial twin; what follows is a path of member names with dots."""

_TYPES = {"tpm": "tpm", "x509": "x509", "symmetrickey": "symmetricKey"}
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class TableError(Exception):
    """The file as a whole cannot be taken: no header, an unknown column, not text."""


class _LineError(Exception):
    """What is wrong with one line."""


@hiding("document")
class Line(Struct, frozen=True, kw_only=True):
    """One device's line. `problem` says why it is none; then `document` is empty."""

    number: int
    """Of the line in the file, the header being 1; of a record over several lines, the last."""
    name: str
    document: JsonObject
    problem: str | None = None


def read_table(path: Path) -> Iterator[Line]:
    """Yield the devices in order, reading as they are asked for. Raises TableError."""
    csv.field_size_limit(_MAX_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _lines(file, path.parent)
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: it is not UTF-8 text") from error


def _lines(file: TextIO, folder: Path) -> Iterator[Line]:
    reader = csv.reader(file, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header)
        seen: dict[str, int] = {}
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            number = reader.line_num
            cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
            name = next((value for column, value in cells.items() if column.lower() == "registrationid"), "")
            try:
                if len(row) != len(header):
                    raise _LineError(f"it has {len(row)} cells, the header has {len(header)}")  # noqa: TRY301
                document = _document(cells, folder)
                if (first := seen.setdefault(name.lower(), number)) != number:
                    raise _LineError(f"line {first} has the same registration id")  # noqa: TRY301
            except _LineError as error:
                yield Line(number=number, name=name, document={}, problem=str(error))
            else:
                yield Line(number=number, name=name, document=document)
    except csv.Error as error:
        raise TableError(f"line {reader.line_num}: {error}") from error


def _check_header(header: Sequence[str]) -> None:
    lowered = [name.lower() for name in header]
    if "registrationid" not in lowered:
        raise TableError("the first line must name the columns, and one of them must be registrationId")
    known = {*PLAIN, *KEYS, *TPM, *CERTIFICATES, *OTHERS}
    for name, lower in zip(header, lowered, strict=True):
        if lowered.count(lower) > 1:
            raise TableError(f"the column {name} stands twice")
        if lower not in known and not lower.startswith(tuple(SECTIONS)):
            raise TableError(
                f"'{name}' is no column; there are registrationId, deviceId, attestation, primaryKey, secondaryKey, "
                "endorsementKey, storageRootKey, certificate, secondaryCertificate, provisioningStatus, "
                "allocationPolicy, iotHubs, iotHubHostName, iotEdge, tags.… and desired.…"
            )


def _document(cells: dict[str, str], folder: Path) -> JsonObject:
    lower = {name.lower(): value for name, value in cells.items() if value}
    if "registrationid" not in lower:
        raise _LineError("it has no registrationId")
    document: JsonObject = {member: lower[column] for column, member in PLAIN.items() if column in lower}
    document["attestation"] = _attestation(lower, folder)
    if "iothubs" in lower:
        document["iotHubs"] = [host.strip() for host in lower["iothubs"].split(";") if host.strip()]
    if "iotedge" in lower:
        document["capabilities"] = {"iotEdge": _truth(lower["iotedge"], "iotEdge")}
    if twin := _twin(cells):
        document["initialTwin"] = twin
    return document


def _attestation(lower: dict[str, str], folder: Path) -> JsonObject:
    """Make the mechanism of the columns that have a value; without any, keys are generated."""
    given = {
        kind
        for kind, columns in (("tpm", TPM), ("x509", CERTIFICATES), ("symmetricKey", KEYS))
        if any(column in lower for column in columns)
    }
    if "attestation" in lower:
        named = _TYPES.get(lower["attestation"].lower())
        if named is None:
            raise _LineError(f"attestation is none of {', '.join(_TYPES.values())}")
        given.add(named)
    if len(given) > 1:
        raise _LineError(f"it has values for {' and '.join(sorted(given))}: one device proves itself in one way")
    kind = given.pop() if given else "symmetricKey"
    if kind == "symmetricKey":
        keys = {member: lower[column] for column, member in KEYS.items() if column in lower}
        return {"type": kind, "symmetricKey": keys} if keys else {"type": kind}
    if kind == "tpm":
        if "endorsementkey" not in lower:
            raise _LineError("a TPM needs its endorsementKey")
        return {"type": kind, "tpm": {member: lower[column] for column, member in TPM.items() if column in lower}}
    if "certificate" not in lower:
        raise _LineError("x509 needs a certificate: PEM text, or file:PATH")
    slots = {
        slot: {"certificate": _certificate(lower[column], folder)}
        for column, slot in CERTIFICATES.items()
        if column in lower
    }
    return {"type": kind, "x509": {"clientCertificates": slots}}


def _certificate(text: str, folder: Path) -> str:
    if not text.startswith("file:"):
        return text
    file = folder / text.removeprefix("file:")
    try:
        if file.stat().st_size > MAX_CERTIFICATE_BYTES:
            raise _LineError(f"{file} is larger than {MAX_CERTIFICATE_BYTES} bytes")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise _LineError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _LineError(f"{file} is not text") from error


def _twin(cells: dict[str, str]) -> JsonObject:
    twin: JsonObject = {}
    for column, value in cells.items():
        prefix = next((prefix for prefix in SECTIONS if column.lower().startswith(prefix)), None)
        if prefix is None or not value:
            continue
        path = [*SECTIONS[prefix], *column[len(prefix) :].split(".")]
        if not all(path):
            raise _LineError(f"{column} has an empty member name")
        place = twin
        for name in path[:-1]:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise _LineError(f"{column} lies below a column that has a value")
        if path[-1] in place:
            raise _LineError(f"{column} lies above a column that has a value")
        place[path[-1]] = _json(value)
    return twin


def _json(text: str) -> Any:
    """Read numbers, truth values, lists and objects as JSON; everything else is text."""
    data = text.encode()
    if nests_beyond(data):
        return text
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return text


def _truth(text: str, column: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise _LineError(f"{column} is neither true nor false")
    return _TRUTHS[text.lower()]
