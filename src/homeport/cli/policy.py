"""`homeport policy …`: shared access policies, that is who may administer."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, connection_info, fail, out
from homeport.cli.listing import plain_table, print_json

if TYPE_CHECKING:
    from homeport.client import AccessPolicy

app = typer.Typer(
    help="Shared access policies: who may administer, and with which keys.", no_args_is_help=True, add_completion=False
)

NameArgument = Annotated[str, typer.Argument(help="Name of the policy.")]


class Right(StrEnum):
    """What a policy may allow."""

    SERVICE_CONFIG = "ServiceConfig"
    ENROLLMENT_READ = "EnrollmentRead"
    ENROLLMENT_WRITE = "EnrollmentWrite"
    REGISTRATION_STATUS_READ = "RegistrationStatusRead"
    REGISTRATION_STATUS_WRITE = "RegistrationStatusWrite"
    DEVICE_CONNECT = "DeviceConnect"


class Key(StrEnum):
    """Which key of a policy."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


RightsOption = Annotated[list[Right], typer.Option("--right", case_sensitive=False, help="What it allows; repeatable.")]


@app.command("list")
def list_policies(data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the policies, without their keys."""
    with admin(data) as client:
        policies = client.policies()
    if output is Output.JSON:
        print_json(policies)
        return
    table = plain_table("policy", "rights", "changed")
    for policy in policies:
        table.add_row(policy.name, ", ".join(policy.rights), f"{policy.last_updated_date_time_utc:%Y-%m-%d %H:%M}Z")
    out.print(table)


@app.command("create")
def create(
    name: NameArgument, right: RightsOption, data: DataOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Create a policy and print its connection string: keep it, it is a secret."""
    with admin(data) as client:
        policy = client.create_policy(name, [each.value for each in right])
    _tell(policy, data, output)


@app.command("show")
def show(
    name: NameArgument,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
    keys: Annotated[bool, typer.Option("--keys", help="Print the keys as well.")] = False,
) -> None:
    """Show a policy."""
    with admin(data) as client:
        policy = client.policy_keys(name) if keys else client.policy(name)
    _tell(policy, data, output)


@app.command("rights")
def rights(name: NameArgument, right: RightsOption, data: DataOption = None) -> None:
    """Change what a policy allows."""
    with admin(data) as client:
        policy = client.set_policy_rights(name, [each.value for each in right])
    out.print(f"Policy [bold]{policy.name}[/] allows {', '.join(policy.rights)}.")


@app.command("rotate")
def rotate(
    name: NameArgument,
    key: Annotated[Key | None, typer.Option("--key", help="The key to replace; clients may use the other one.")] = None,
    swap: Annotated[bool, typer.Option("--swap", help="Let the keys change places instead; both stay valid.")] = False,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Replace a key. What the old one signed is refused within two seconds; the other key goes on working."""
    if (key is None) is not swap:
        raise fail("say which key to replace with --key primary or --key secondary, or --swap", code=2)
    with admin(data) as client:
        policy = client.swap_policy_keys(name) if key is None else client.regenerate_policy_key(name, key.value)
    _tell(policy, data, output)


@app.command("delete")
def delete(name: NameArgument, data: DataOption = None) -> None:
    """Delete a policy: nobody gets in with its keys any more."""
    with admin(data) as client:
        client.delete_policy(name)
    out.print(f"Policy [bold]{escape(name)}[/] is deleted.")


def _tell(policy: "AccessPolicy", data: DataOption, output: Output) -> None:
    if output is Output.JSON:
        print_json(policy)
        return
    out.print(f"[bold]policy[/]         {policy.name}", soft_wrap=True)
    out.print(f"[bold]rights[/]         {', '.join(policy.rights)}", soft_wrap=True)
    if policy.primary_key is not None and policy.secondary_key is not None:
        host = connection_info(data).dps_connection_string.partition(";")[0].partition("=")[2]
        out.print(f"[bold]primary key[/]    {policy.primary_key}", soft_wrap=True)
        out.print(f"[bold]secondary key[/]  {policy.secondary_key}", soft_wrap=True)
        out.print(f"[bold]connection[/]     {policy.connection_string(host)}", soft_wrap=True)
