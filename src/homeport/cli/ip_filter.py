"""`homeport ip-filter …`: which addresses may reach devices' endpoints, the service API and the portal."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, fail, out
from homeport.cli.listing import plain_table, print_json

app = typer.Typer(
    help="IP filter: ordered rules; the first that matches decides, and without a match everybody may come in.",
    no_args_is_help=True,
    add_completion=False,
)


class Action(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class Target(StrEnum):
    ALL = "all"
    DEVICES = "devices"
    SERVICE = "service"
    PORTAL = "portal"


ForceOption = Annotated[bool, typer.Option("--force", help="Even if it locks the administrators of this machine out.")]


@app.command("list")
def list_rules(data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the rules in their order."""
    with admin(data) as client:
        rules = client.ip_filter().rules
    if output is Output.JSON:
        print_json(rules)
        return
    if not rules:
        out.print("There are no rules: every address may come in.")
        return
    table = plain_table("", "name", "action", "network", "target")
    for place, rule in enumerate(rules, start=1):
        table.add_row(str(place), escape(rule.name), rule.action, rule.network, rule.target)
    out.print(table)


@app.command("add")
def add_rule(
    name: Annotated[str, typer.Argument(help="Name of the rule, for you.")],
    action: Annotated[Action, typer.Argument(help="What happens to whom it matches.")],
    network: Annotated[str, typer.Argument(help="An address, a network like 10.0.0.0/8, or `any`.")],
    target: Annotated[Target, typer.Option("--target", help="What it is about.")] = Target.ALL,
    place: Annotated[
        int | None, typer.Option("--place", min=1, help="Place in the order; the end if left out.")
    ] = None,
    force: ForceOption = False,
    data: DataOption = None,
) -> None:
    """Add a rule."""
    # Only when it is called: `--help` need not wait for an HTTP client to load.
    from homeport.client import IpFilterRule

    with admin(data) as client:
        standing = client.ip_filter()
        rules = list(standing.rules)
        rule = IpFilterRule(name=name, action=action.value, network=network, target=target.value)
        rules.insert(len(rules) if place is None else place - 1, rule)
        client.set_ip_filter(rules, etag=standing.etag, force=force)
    out.print(f"Rule [bold]{escape(name)}[/] is obeyed within two seconds.")


@app.command("remove")
def remove_rule(
    name: Annotated[str, typer.Argument(help="Name of the rule.")], force: ForceOption = False, data: DataOption = None
) -> None:
    """Remove a rule."""
    with admin(data) as client:
        standing = client.ip_filter()
        rules = [rule for rule in standing.rules if rule.name.lower() != name.lower()]
        if len(rules) == len(standing.rules):
            raise fail(f"there is no rule '{name}'")
        client.set_ip_filter(rules, etag=standing.etag, force=force)
    out.print(f"Rule [bold]{escape(name)}[/] is gone.")


@app.command("test")
def judge(
    address: Annotated[str, typer.Argument(help="An IPv4 or IPv6 address.")],
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say what the rules do with an address."""
    with admin(data) as client:
        decisions = client.test_ip_filter(address)
    if output is Output.JSON:
        print_json(decisions)
        return
    table = plain_table("target", "", "by")
    for decision in decisions:
        by = "no rule matches" if decision.rule is None else f"rule {escape(decision.rule)}"
        table.add_row(decision.target, "allowed" if decision.allowed else "denied", by)
    out.print(table)
