"""What `plan` and `apply` share: reading the files, comparing, and showing the plan."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.markup import escape

from homeport.ascode.documents import Difference
from homeport.ascode.files import DeclarationError, Declarations, read_declarations
from homeport.ascode.kinds import SECTIONS, Kind
from homeport.ascode.plan import Action, Change, Plan, make_plan
from homeport.cli.console import ServerAccess, err, fail, out
from homeport.client.aio import HomeportAdminClient, ProvisioningServiceClient
from homeport.wire.versions import NEWEST_VERSION

_MARKS = {Action.CREATE: "[green]+[/]", Action.UPDATE: "[yellow]~[/]", Action.DELETE: "[red]-[/]"}
_SHOWN = 72
_NAMED = 10


@asynccontextmanager
async def clients(info: ServerAccess) -> AsyncIterator[tuple[ProvisioningServiceClient, HomeportAdminClient]]:
    """Open the running server's two clients."""
    service = ProvisioningServiceClient.create_from_connection_string(
        info.admin_connection_string, ca_file=info.ca_file, api_version=NEWEST_VERSION
    )
    admin = HomeportAdminClient.create_from_connection_string(info.admin_connection_string, ca_file=info.ca_file)
    async with service, admin:
        yield service, admin


def read(paths: list[Path]) -> Declarations:
    """Read files and folders, or end the command with every problem in them."""
    try:
        return read_declarations(paths, SECTIONS, os.environ)
    except DeclarationError as error:
        raise _refuse(error) from error


async def compare(declarations: Declarations, kinds: Sequence[Kind], *, prune: bool) -> Plan:
    """Make the plan, or end the command with every problem in the files."""
    try:
        return await make_plan(declarations, kinds, prune=prune)
    except DeclarationError as error:
        raise _refuse(error) from error


def _refuse(error: DeclarationError) -> typer.Exit:
    for problem in error.problems:
        err.print(f"[bold red]error[/] {escape(problem)}", soft_wrap=True)
    return typer.Exit(1)


def show(plan: Plan) -> None:
    """Print each change with its differences, then the sum."""
    for change in plan.changes:
        out.print(f"{_MARKS[change.action]} {change.kind.noun} [bold]{escape(change.name)}[/]", soft_wrap=True)
        for difference in change.differences:
            out.print(f"    {escape(difference.path)}: {_words(difference)}", soft_wrap=True)
    if plan.changes:
        out.print()
    counts = {action: plan.count(action) for action in Action}
    out.print(
        f"[bold]{counts[Action.CREATE]}[/] to create, [bold]{counts[Action.UPDATE]}[/] to update, "
        f"[bold]{counts[Action.DELETE]}[/] to delete; {plan.unchanged} as declared."
    )
    for section, undeclared in plan.undeclared.items():
        names = ", ".join(undeclared.names[:_NAMED]) + (", …" if undeclared.count > _NAMED else "")
        out.print(
            f"[dim]{undeclared.count} in {section} that no file declares ({escape(names)}); --prune deletes them.[/]",
            soft_wrap=True,
        )


def documents(plan: Plan) -> dict[str, Any]:
    """Return the plan for machines, without secrets."""
    return {
        "changes": [_document(change) for change in plan.changes],
        "unchanged": plan.unchanged,
        "undeclared": {
            section: {"count": undeclared.count, "names": list(undeclared.names)}
            for section, undeclared in plan.undeclared.items()
        },
    }


def no_paths() -> typer.Exit:
    return fail("name the files or folders that declare what there should be", code=2)


def _document(change: Change) -> dict[str, Any]:
    return {
        "section": change.kind.section,
        "name": change.name,
        "action": change.action.value,
        "differences": [
            {"path": each.path, "secret": True}
            if each.secret
            else {"path": each.path, "before": each.before, "after": each.after}
            for each in change.differences
        ],
    }


def _words(difference: Difference) -> str:
    if difference.secret:
        return "[dim](secret)[/] differs"
    return f"{_value(difference.before)} → {_value(difference.after)}"


def _value(value: Any) -> str:
    if value is None:
        return "[dim]nothing[/]"
    text = msgspec.json.encode(value).decode()
    return escape(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
