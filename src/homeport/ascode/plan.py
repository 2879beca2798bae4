"""What must be done so that a service has what files declare: created, updated and, only if asked for, deleted."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from homeport.ascode.documents import Difference, JsonObject, comparable, differences
from homeport.ascode.existing import Existing
from homeport.ascode.files import DeclarationError, Declarations, Declared
from homeport.ascode.kinds import Kind
from homeport.values import hiding

MAX_NAMED = 1000
"""How many undeclared things are kept by name; beyond, they are counted."""


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@hiding("document")
class Change(Struct, frozen=True, kw_only=True):
    """One thing to do. `document` is what is declared, with secrets; None for a deletion."""

    kind: Kind
    name: str
    action: Action
    differences: Sequence[Difference] = ()
    document: JsonObject | None = None
    etag: str | None = None

    async def carry_out(self) -> None:
        """Do it. Raises ClientError; PreconditionFailedError and ConflictError if it changed since it was compared."""
        if self.action is Action.CREATE:
            assert self.document is not None
            await self.kind.create(self.name, self.document)
        elif self.action is Action.UPDATE:
            assert self.document is not None
            await self.kind.update(self.name, self.document, self.etag)
        else:
            await self.kind.delete(self.name, self.etag)


class Undeclared(Struct, frozen=True, kw_only=True):
    """What a service has and no file declares, in a section that files have: drift, or not yet brought in."""

    names: Sequence[str]
    """In the service's order; the first thousand."""
    count: int


class Plan(Struct, frozen=True, kw_only=True):
    """Changes in the order in which they can be made; what is in order already is counted."""

    changes: Sequence[Change]
    unchanged: int
    undeclared: Mapping[str, Undeclared]
    """By section."""

    def count(self, action: Action) -> int:
        return sum(change.action is action for change in self.changes)


async def make_plan(declarations: Declarations, kinds: Sequence[Kind], *, prune: bool) -> Plan:
    """Compare what is declared with what is there; `prune` deletes what is undeclared in the sections that files have.

    `kinds` stand in the order in which they need each other. Raises DeclarationError and ClientError.
    """
    check(declarations, kinds)
    changes: list[Change] = []
    deletions: list[Change] = []
    undeclared: dict[str, Undeclared] = {}
    unchanged = 0
    for kind in kinds:
        declared = declarations.get(kind.section)
        if declared is None:
            continue
        missing = dict(declared)
        names: list[str] = []
        count = 0
        secrets = any(kind.secret(each.document) for each in declared.values())
        async for existing in kind.all(secrets=secrets):
            wanted = missing.pop(existing.name.lower(), None)
            if wanted is not None:
                change = _compare(kind, existing, wanted)
                if change is None:
                    unchanged += 1
                else:
                    changes.append(change)
            elif prune:
                deletions.append(Change(kind=kind, name=existing.name, action=Action.DELETE, etag=existing.etag))
            else:
                count += 1
                if len(names) < MAX_NAMED:
                    names.append(existing.name)
        if count:
            undeclared[kind.section] = Undeclared(names=names, count=count)
        changes += [
            Change(kind=kind, name=each.name, action=Action.CREATE, document=each.document) for each in missing.values()
        ]
    # What refers to others goes before them.
    return Plan(changes=[*changes, *reversed(deletions)], unchanged=unchanged, undeclared=undeclared)


def check(declarations: Declarations, kinds: Sequence[Kind]) -> None:
    """Raise DeclarationError for documents that cannot be right, whatever the service has."""
    problems = [
        f"{each.source}: {kind.section}.{each.name}: {problem}"
        for kind in kinds
        for each in declarations.get(kind.section, {}).values()
        for problem in kind.problems(each.name, each.document)
    ]
    if problems:
        raise DeclarationError(problems)


def _compare(kind: Kind, existing: Existing, declared: Declared) -> Change | None:
    before, after = comparable(existing.document, kind.wanted(declared.name, declared.document))
    found = tuple(differences(before, after))
    if not found:
        return None
    return Change(
        kind=kind,
        name=existing.name,
        action=Action.UPDATE,
        differences=found,
        document=declared.document,
        etag=existing.etag,
    )
