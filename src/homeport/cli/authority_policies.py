"""`homeport authority policy …`: what an authority issues; and how these commands write spans of time and tables."""

import re
from datetime import timedelta
from typing import Annotated

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, fail, out
from homeport.cli.listing import plain_table, print_json

policy = typer.Typer(help="Certificate policies: what an authority issues.", no_args_is_help=True)

SPAN_HELP = "a number and s, m, h, d, w or y (`90d`)"
_SPAN = re.compile(r"(\d{1,9})([smhdwy])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


@policy.command("set")
def set_policy(
    name: Annotated[str, typer.Argument(help="Name of the policy.")],
    authority: Annotated[str, typer.Option("--authority", help="Authority that issues by it.")],
    validity: Annotated[
        str | None, typer.Option("--validity", help=f"Life of a certificate: {SPAN_HELP}.", show_default="30d")
    ] = None,
    renew_before: Annotated[
        str | None,
        typer.Option("--renew-before", help="When the same key gets a new one.", show_default="a third of it, 10d"),
    ] = None,
    backdate: Annotated[
        str | None, typer.Option("--backdate", help="For devices whose clock is late.", show_default="1h")
    ] = None,
    key_type: Annotated[
        list[str] | None, typer.Option("--key-type", help="Allowed; repeatable.", show_default="P-256, P-384, RSA")
    ] = None,
    organization: Annotated[str | None, typer.Option("--organization")] = None,
    organizational_unit: Annotated[str | None, typer.Option("--organizational-unit")] = None,
    dns_name: Annotated[bool, typer.Option("--dns-name", help="The registration id as a DNS name, too.")] = False,
    data: DataOption = None,
) -> None:
    """Create a policy, or replace it as a whole."""
    with admin(data) as client:
        made = client.put_certificate_policy(
            name,
            authority=authority,
            validity=span(validity),
            renew_before=span(renew_before),
            backdate=span(backdate),
            key_types=key_type or None,
            organization=organization,
            organizational_unit=organizational_unit,
            dns_name=dns_name,
        )
    out.print(
        f"Policy [bold]{made.name}[/]: {made.certificate_authority_name} issues for {_words(made.validity_seconds)}, "
        f"renewed {_words(made.renew_before_seconds)} before the end."
    )


@policy.command("list")
def list_policies(data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the policies."""
    with admin(data) as client:
        found = client.certificate_policies()
    if output is Output.JSON:
        print_json(found)
        return
    shown = plain_table("policy", "authority", "validity", "renewed before", "keys")
    for each in found:
        shown.add_row(
            each.name,
            each.certificate_authority_name,
            _words(each.validity_seconds),
            _words(each.renew_before_seconds),
            ", ".join(each.key_types),
        )
    out.print(shown)


@policy.command("delete")
def delete_policy(name: Annotated[str, typer.Argument(help="Name of the policy.")], data: DataOption = None) -> None:
    """Forget a policy; refused while an enrollment names it."""
    with admin(data) as client:
        client.delete_certificate_policy(name)
    out.print(f"Policy [bold]{escape(name)}[/] is gone.")


def span(text: str | None) -> timedelta | None:
    """Read a span of time, or end the command."""
    if text is None:
        return None
    match = _SPAN.fullmatch(text)
    if match is None:
        raise fail(f"{text!r} is no span of time: {SPAN_HELP}", code=2)
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _words(seconds: int) -> str:
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"
