"""Reads declarations: TOML, YAML and JSON files with a section for each kind of thing and a member for each name.

A `.jsonl` file has a line `{"section": …, "name": …, "document": …}` for each thing instead.

Secrets and certificates may be references (`env:NAME`, `file:PATH` relative to the file), so that files can be
committed. Every problem in every file is reported at once.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from msgspec import Struct

from homeport.ascode.plain_yaml import read_plain
from homeport.nesting import nests_beyond
from homeport.values import hiding

JsonObject = dict[str, Any]

SUFFIXES = frozenset({".toml", ".yaml", ".yml", ".json", ".jsonl"})
MAX_REFERENCED_BYTES = 64 * 1024

REFERENCES = frozenset({
    "primaryKey", "secondaryKey", "endorsementKey", "storageRootKey", "certificate", "connectionString",
    "caCertificates", "webhookUrl",
})  # fmt: skip
"""The members whose value may be a reference; anywhere else, in a twin for example, it is plain text."""


class DeclarationError(Exception):
    """Files that cannot be taken; `problems` has a line for each thing wrong in them, never a secret."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@hiding("document")
class Declared(Struct, frozen=True, kw_only=True):
    """One thing that a file declares, with references resolved."""

    name: str
    document: JsonObject
    source: str
    """The file, for messages."""


Declarations = Mapping[str, Mapping[str, Declared]]
"""Sections, and in them what is declared by lower-cased name. A section that no file has is absent."""


def read_declarations(paths: Iterable[Path], sections: Iterable[str], environment: Mapping[str, str]) -> Declarations:
    """Read files, and the files of folders, into sections. Raises DeclarationError."""
    known = tuple(sections)
    problems: list[str] = []
    found: dict[str, dict[str, Declared]] = {}
    for path in _files(paths, problems):
        try:
            document = _parse(path)
        except (ValueError, TypeError, RecursionError, OSError) as error:
            problems.append(f"{path}: {_words(error)}")
            continue
        for section, members in document.items():
            if section not in known:
                problems.append(f"{path}: '{section}' is no section; there are {', '.join(known)}")
            elif not isinstance(members, dict):
                problems.append(f"{path}: {section} is not a table of names")
            else:
                _take(path, section, members, found.setdefault(section, {}), environment, problems)
    if problems:
        raise DeclarationError(problems)
    return found


def _take(
    path: Path,
    section: str,
    members: JsonObject,
    found: dict[str, Declared],
    environment: Mapping[str, str],
    problems: list[str],
) -> None:
    for name, document in members.items():
        where = f"{path}: {section}.{name}"
        if not isinstance(document, dict):
            problems.append(f"{where} is not a table")
        elif (other := found.get(str(name).lower())) is not None:
            problems.append(f"{where} is declared in {other.source} too; names are compared without case")
        else:
            resolved = _resolve(document, path.parent, environment, where, problems)
            found[str(name).lower()] = Declared(name=str(name), document=resolved, source=str(path))


def _files(paths: Iterable[Path], problems: list[str]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
            if not inside:
                problems.append(f"{path}: the folder has no file ending in {', '.join(sorted(SUFFIXES))}")
            yield from inside
        elif path.suffix not in SUFFIXES:
            problems.append(f"{path}: the name does not end in {', '.join(sorted(SUFFIXES))}")
        else:
            yield path


def _parse(path: Path) -> JsonObject:
    text = path.read_text(encoding="utf-8")
    document: Any
    if path.suffix == ".jsonl":
        return _sections_of_lines(text)
    if path.suffix == ".toml":
        document = tomllib.loads(text)
    elif path.suffix == ".json":
        document = _read_json(text)
    else:
        document = read_plain(text)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise TypeError("the file is not a table of sections")
    return document


def _read_json(text: str) -> Any:
    if nests_beyond(text.encode()):
        raise ValueError("nested too deeply")
    return json.loads(text, object_pairs_hook=_no_duplicates)


def _sections_of_lines(text: str) -> JsonObject:
    sections: JsonObject = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        item = _read_json(line)
        if not isinstance(item, dict) or not {"section", "name", "document"} <= item.keys():
            raise ValueError(f"line {number} is not an object with section, name and document")
        members = sections.setdefault(str(item["section"]), {})
        if item["name"] in members:
            raise ValueError(f"line {number}: '{item['name']}' stands twice")
        members[item["name"]] = item["document"]
    return sections


def _no_duplicates(pairs: list[tuple[str, Any]]) -> JsonObject:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' stands twice")
    return document


def _resolve(
    value: JsonObject, folder: Path, environment: Mapping[str, str], where: str, problems: list[str]
) -> JsonObject:
    resolved: JsonObject = {}
    for name, member in value.items():
        here = f"{where}.{name}"
        if isinstance(member, str) and name in REFERENCES:
            resolved[name] = _dereference(member, folder, environment, here, problems)
        else:
            resolved[name] = _plain(member, folder, environment, here, problems)
    return resolved


def _plain(value: Any, folder: Path, environment: Mapping[str, str], where: str, problems: list[str]) -> Any:
    match value:
        case dict():
            return _resolve(value, folder, environment, where, problems)
        case list():
            return [_plain(item, folder, environment, where, problems) for item in value]
        case datetime() | date() | time():  # TOML's own; JSON has text
            return value.isoformat()
        case None | str() | bool() | int() | float():
            return value
        case _:
            problems.append(f"{where} has a value that JSON cannot hold")
            return None


def _dereference(text: str, folder: Path, environment: Mapping[str, str], where: str, problems: list[str]) -> str:
    kind, colon, rest = text.partition(":")
    if not colon or kind not in {"env", "file"}:
        return text
    if kind == "env":
        if not (value := environment.get(rest)):
            problems.append(f"{where}: the environment variable {rest} is not set")
        return value or ""
    file = folder / rest
    try:
        if file.stat().st_size > MAX_REFERENCED_BYTES:
            problems.append(f"{where}: {file} is larger than {MAX_REFERENCED_BYTES} bytes")
            return ""
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        problems.append(f"{where}: {file}: {error.strerror}")
    except ValueError:
        problems.append(f"{where}: {file} is not text")
    return ""


def _words(error: Exception) -> str:
    match error:
        case OSError():
            return error.strerror or "the file cannot be read"
        case RecursionError():
            return "nested too deeply"
        case _:
            return str(error)
