"""`homeport hub certificate …`: the CA certificates of a hub, at which the chains of its devices end."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from homeport.cli.certificate import certificate_text
from homeport.cli.console import DataOption, Output, OutputOption, admin, err, fail, out
from homeport.cli.listing import plain_table, print_json

app = typer.Typer(
    help="CA certificates of a hub: devices set to certificateAuthority come in by them.",
    no_args_is_help=True,
    add_completion=False,
)

HubArgument = Annotated[str, typer.Argument(help="Name of the hub.")]
NameArgument = Annotated[str, typer.Argument(help="Name of the CA certificate.")]
FileArgument = Annotated[Path, typer.Argument(help="The certificate: PEM, DER, or Base64 of DER.")]


@app.command("upload")
def upload(
    hub: HubArgument,
    name: NameArgument,
    file: FileArgument,
    data: DataOption = None,
    verified: Annotated[
        bool, typer.Option("--verified", help="Take your word that it may let devices in; else it has to be proven.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the one of that name.")] = False,
) -> None:
    """Upload a root or intermediate certificate to a hub."""
    certificate = certificate_text(file)
    with admin(data) as client:
        found = client.upload_hub_certificate(
            hub, name, certificate, verified=verified or None, etag="*" if replace else None
        )
    one = found.properties
    out.print(
        f"CA certificate [bold]{escape(found.name)}[/] of hub {escape(hub)}: {escape(one.subject)}, until "
        f"{one.expiry:%Y-%m-%d}.",
        soft_wrap=True,
    )
    if not one.is_verified:
        out.print(
            f"It is not verified yet: homeport hub certificate code {escape(hub)} {escape(found.name)}",
            soft_wrap=True,
        )


@app.command("list")
def list_certificates(hub: HubArgument, data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the CA certificates of a hub."""
    with admin(data) as client:
        found = client.hub_certificates(hub)
    if output is Output.JSON:
        print_json(found)
        return
    if not found:
        err.print(f"Hub {escape(hub)} has no CA certificate.")
        return
    table = plain_table("name", "subject", "until", "verified", "thumbprint")
    for one in found:
        properties = one.properties
        table.add_row(
            escape(one.name),
            escape(properties.subject),
            f"{properties.expiry:%Y-%m-%d}",
            "yes" if properties.is_verified else "[bold]no[/]",
            properties.thumbprint,
        )
    out.print(table)


@app.command("code")
def code(hub: HubArgument, name: NameArgument, data: DataOption = None) -> None:
    """Have a verification code made, and say how to prove possession with it."""
    with admin(data) as client:
        found = client.generate_hub_verification_code(hub, name)
    text = found.properties.verification_code or ""
    out.print(f"Verification code: [bold]{text}[/]\n", soft_wrap=True)
    out.print("Issue a certificate with it as the common name, with the CA's key, for example:", soft_wrap=True)
    out.print(
        f"  openssl req -new -newkey rsa:2048 -nodes -keyout proof.key -subj /CN={text} -out proof.csr", soft_wrap=True
    )
    out.print("  openssl x509 -req -in proof.csr -CA ca.pem -CAkey ca.key -days 1 -out proof.pem", soft_wrap=True)
    out.print(
        f"  homeport hub certificate verify {escape(hub)} {escape(found.name)} proof.pem",
        soft_wrap=True,
    )


@app.command("verify")
def verify(
    hub: HubArgument,
    name: NameArgument,
    file: Annotated[
        Path | None, typer.Argument(help="The certificate for the verification code; none: take your word.")
    ] = None,
    data: DataOption = None,
    trust: Annotated[bool, typer.Option("--trust", help="Take your word in place of a proof.")] = False,
) -> None:
    """Prove possession of the authority's key; from then on it lets devices in."""
    if trust == (file is not None):
        raise fail("give the certificate for the verification code, or --trust")
    with admin(data) as client:
        if file is None:
            stored = client.get_hub_certificate(hub, name)
            found = client.upload_hub_certificate(
                hub, name, stored.properties.certificate, verified=True, etag=stored.etag
            )
        else:
            found = client.verify_hub_certificate(hub, name, certificate_text(file))
    out.print(f"CA certificate [bold]{escape(found.name)}[/] of hub {escape(hub)} is verified.")


@app.command("delete")
def delete(hub: HubArgument, name: NameArgument, data: DataOption = None) -> None:
    """Delete a CA certificate of a hub; devices that came in by it are cut off."""
    with admin(data) as client:
        client.delete_hub_certificate(hub, name)
    out.print(f"CA certificate [bold]{escape(name)}[/] of hub {escape(hub)} is deleted.")
