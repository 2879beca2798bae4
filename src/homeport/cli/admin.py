"""`homeport admin …`: administrators and their tokens."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, err, out
from homeport.cli.listing import plain_table, print_json
from homeport.clock import SystemClock

app = typer.Typer(
    help="Administrators: who may do what, each with a token of their own.", no_args_is_help=True, add_completion=False
)


class Role(StrEnum):
    """What an administrator may do."""

    READER = "reader"
    OPERATOR = "operator"
    OWNER = "owner"


NameArgument = Annotated[str, typer.Argument(help="Name of the administrator.")]
DaysOption = Annotated[
    int | None,
    typer.Option("--days", min=1, max=3650, help="The token expires after so many days.", show_default="never"),
]


@app.command("create")
def create(
    name: NameArgument,
    role: Annotated[
        Role,
        typer.Option(
            "--role", help="reader: reads; operator: and enrolls; owner: and configures, and makes administrators."
        ),
    ],
    days: DaysOption = None,
    data: DataOption = None,
) -> None:
    """Make an administrator and print the token. It cannot be told again."""
    with admin(data) as client:
        made = client.create_administrator(name, role.value, expires=_expiry(days))
    _tell(made.token, f"[bold]{escape(made.name)}[/] is {made.role}{_until(made.expires_date_time_utc)}.")


@app.command("renew")
def renew(name: NameArgument, days: DaysOption = None, data: DataOption = None) -> None:
    """Give an administrator a fresh token and print it; the old one is worth nothing from now on."""
    with admin(data) as client:
        made = client.renew_administrator(name, expires=_expiry(days))
    _tell(made.token, f"[bold]{escape(made.name)}[/] has a fresh token{_until(made.expires_date_time_utc)}.")


@app.command("role")
def change_role(
    name: NameArgument, role: Annotated[Role, typer.Argument(help="The new role.")], data: DataOption = None
) -> None:
    """Change what an administrator may do; the token stays."""
    with admin(data) as client:
        changed = client.update_administrator(name, role=role.value)
    out.print(f"[bold]{escape(changed.name)}[/] is {changed.role} from now on.")


@app.command("revoke")
def revoke(name: NameArgument, data: DataOption = None) -> None:
    """Remove an administrator; the token is worth nothing from now on."""
    with admin(data) as client:
        client.revoke_administrator(name)
    out.print(f"[bold]{escape(name)}[/] may do nothing any more.")


@app.command("list")
def list_administrators(data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the administrators; whoever has the start token (`portal-token` in the data directory) is owner too."""
    with admin(data) as client:
        found = client.administrators()
    if output is Output.JSON:
        print_json(found)
        return
    table = plain_table("name", "role", "created", "by", "expires", "last used")
    for each in found:
        table.add_row(
            escape(each.name),
            each.role,
            _day(each.created_date_time_utc),
            escape(each.created_by or ""),
            _day(each.expires_date_time_utc) or "never",
            _day(each.last_used_date_time_utc) or "never",
        )
    out.print(table)


def _tell(token: str, words: str) -> None:
    """Print the token alone on standard output, for programs, and the rest beside it."""
    err.print(words, soft_wrap=True)
    err.print("The token, which nobody can tell again:", soft_wrap=True)
    typer.echo(token)


def _expiry(days: int | None) -> datetime | None:
    return None if days is None else SystemClock().now() + timedelta(days=days)


def _until(expires: datetime | None) -> str:
    return "" if expires is None else f" until {expires:%Y-%m-%d %H:%M} UTC"


def _day(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M}"
