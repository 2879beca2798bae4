"""`homeport authority …`: who issues certificates to devices, what was issued, and taking it back."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from homeport.cli.authority_policies import SPAN_HELP, policy, span
from homeport.cli.console import DataOption, Output, OutputOption, admin, err, fail, out
from homeport.cli.listing import plain_table, print_json
from homeport.clock import SystemClock

if TYPE_CHECKING:
    from homeport.client import CertificateAuthority, IssuedCertificate

app = typer.Typer(
    help="Certificate authorities: create, import, issue to devices, revoke.",
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(policy, name="policy")

NameArgument = Annotated[str, typer.Argument(help="Name of the authority.")]
MaximumOption = Annotated[
    str | None, typer.Option("--maximum-validity", help=f"Longest life of a device's certificate: {SPAN_HELP}.")
]
CrlUrlOption = Annotated[
    str | None, typer.Option("--crl-url", help="Where its certificates say that the revocation list is found.")
]
KeyUriOption = Annotated[str | None, typer.Option("--key-uri", help="Key in a PKCS#11 token: pkcs11:token=…;object=….")]
KeyFileOption = Annotated[
    Path | None, typer.Option("--key", help="PEM of the private key, unencrypted.", exists=True, dir_okay=False)
]
VersionOption = Annotated[int | None, typer.Option("--version", help="Not the version that issues, but this one.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Write to this file instead of standard output.")]
ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", help="keyCompromise, superseded, cessationOfOperation, privilegeWithdrawn …"),
]


@app.command("create")
def create(
    name: NameArgument,
    issuer: Annotated[
        str | None, typer.Option("--issuer", help="Authority that signs it; left out, it is a root.")
    ] = None,
    key_type: Annotated[
        str | None,
        typer.Option("--key-type", help="EC-P256, EC-P384, RSA-3072 or RSA-4096.", show_default="EC-P256"),
    ] = None,
    key_uri: KeyUriOption = None,
    common_name: Annotated[str | None, typer.Option("--common-name", show_default="the name")] = None,
    organization: Annotated[str | None, typer.Option("--organization")] = None,
    validity: Annotated[
        str | None, typer.Option("--validity", help=f"Its own life: {SPAN_HELP}.", show_default="10y, intermediates 5y")
    ] = None,
    path_length: Annotated[
        int | None, typer.Option("--path-length", min=0, max=5, show_default="1, intermediates 0")
    ] = None,
    maximum_validity: MaximumOption = None,
    crl_url: CrlUrlOption = None,
    data: DataOption = None,
) -> None:
    """Make a root authority, or an intermediate one under it."""
    with admin(data) as client:
        made = client.create_certificate_authority(
            name,
            issuer=issuer,
            key_type=key_type,
            key_uri=key_uri,
            common_name=common_name,
            organization=organization,
            validity=span(validity),
            path_length=path_length,
            maximum_validity=span(maximum_validity),
            crl_url=crl_url,
        )
    _tell(made)


@app.command("import")
def import_(
    name: NameArgument,
    certificates: Annotated[
        Path,
        typer.Argument(help="PEM: its certificate, then those above it up to the root.", exists=True, dir_okay=False),
    ],
    key: KeyFileOption = None,
    key_uri: KeyUriOption = None,
    maximum_validity: MaximumOption = None,
    crl_url: CrlUrlOption = None,
    data: DataOption = None,
) -> None:
    """Bring an authority that was made elsewhere, with its key."""
    with admin(data) as client:
        made = client.import_certificate_authority(
            name,
            certificates=certificates.read_text(),
            private_key=None if key is None else key.read_text(),
            key_uri=key_uri,
            maximum_validity=span(maximum_validity),
            crl_url=crl_url,
        )
    _tell(made)


@app.command("rotate")
def rotate(
    name: NameArgument,
    certificates: Annotated[
        Path | None,
        typer.Option("--certificates", help="For an imported one: PEM of the next.", exists=True, dir_okay=False),
    ] = None,
    key: KeyFileOption = None,
    key_uri: KeyUriOption = None,
    data: DataOption = None,
) -> None:
    """Issue by a new key from now on; what the old one issued stays valid."""
    with admin(data) as client:
        made = client.rotate_certificate_authority(
            name,
            certificates=None if certificates is None else certificates.read_text(),
            private_key=None if key is None else key.read_text(),
            key_uri=key_uri,
        )
    _tell(made)


@app.command("list")
def list_authorities(data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the authorities."""
    with admin(data) as client:
        found = client.certificate_authorities()
    if output is Output.JSON:
        print_json(found)
        return
    shown = plain_table("authority", "subject", "key", "issuer", "valid until", "version")
    for each in found:
        active = each.active
        shown.add_row(
            each.name,
            escape(active.subject_name),
            active.key_type + (" in a token" if active.key_uri else ""),
            each.issuer or "",
            f"{active.not_after_utc:%Y-%m-%d}",
            str(active.version),
        )
    out.print(shown)


@app.command("chain")
def chain(name: NameArgument, version: VersionOption = None, file: OutOption = None, data: DataOption = None) -> None:
    """Print an authority's certificate and those above it, as PEM."""
    with admin(data) as client:
        text = client.get_certificate_chain(name, version=version)
    _write(text.encode(), file)


@app.command("crl")
def crl(name: NameArgument, version: VersionOption = None, file: OutOption = None, data: DataOption = None) -> None:
    """Print an authority's revocation list, DER."""
    if file is None and sys.stdout.isatty():
        raise fail("the list is binary: name a file with --out, or send it to another program")
    with admin(data) as client:
        found = client.get_revocation_list(name, version=version)
    _write(found.der, file)


@app.command("delete")
def delete(name: NameArgument, data: DataOption = None) -> None:
    """Forget an authority and its keys; refused while something refers to it."""
    with admin(data) as client:
        client.delete_certificate_authority(name)
    out.print(f"Authority [bold]{escape(name)}[/] and its keys are gone.")


@app.command("issued")
def issued(
    device: Annotated[str | None, typer.Option("--device", help="Of one registration id.")] = None,
    authority: Annotated[str | None, typer.Option("--authority", help="Of one authority.")] = None,
    ends_within: Annotated[str | None, typer.Option("--ends-within", help=f"That expire soon: {SPAN_HELP}.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 100,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the certificates that devices were given, those that expire first first."""
    found = []
    with admin(data) as client:
        wanted = client.issued_certificates(
            registration_id=device, authority=authority, ends_within=span(ends_within), page_size=min(limit, 1000)
        )
        for each in wanted:
            found.append(each)
            if len(found) == limit:
                break
    if output is Output.JSON:
        print_json(found)
    else:
        _show(found)


@app.command("revoke")
def revoke(
    device: Annotated[str | None, typer.Option("--device", help="Every valid certificate of a device.")] = None,
    serial_number: Annotated[str | None, typer.Option("--serial", help="One certificate, by serial number.")] = None,
    reason: ReasonOption = None,
    data: DataOption = None,
) -> None:
    """Revoke certificates and cut their devices off; a device may then ask for another one with a new key."""
    if (device is None) is (serial_number is None):
        raise fail("say what to revoke: --device or --serial", code=2)
    with admin(data) as client:
        if serial_number is not None:
            found = [client.revoke_certificate(serial_number, reason=reason)]
        else:
            found = client.revoke_device_certificates(device or "", reason=reason)
    _show(found)
    if not all(each.withdrawn for each in found):
        err.print("[yellow]A hub does not answer yet; it is asked again until it does.[/]")


@app.command("rotate-master-key")
def rotate_master_key(data: DataOption = None) -> None:
    """Seal the private keys of all authorities under a new master key."""
    with admin(data) as client:
        key = client.rotate_master_key()
    keys = "1 private key is" if key.resealed == 1 else f"{key.resealed} private keys are"
    out.print(f"{keys} sealed under the new master key [bold]{key.key_name}[/]. Back its file up; the old one is gone.")


def _tell(authority: "CertificateAuthority") -> None:
    active = authority.active
    where = f"in the token ({active.key_uri})" if active.key_uri else "sealed under the master key"
    out.print(
        f"Authority [bold]{authority.name}[/] issues as {escape(active.subject_name)}, version {active.version}, until "
        f"{active.not_after_utc:%Y-%m-%d}; its {active.key_type} key is {escape(where)}.",
        soft_wrap=True,
    )


def _show(found: "list[IssuedCertificate]") -> None:
    shown = plain_table("device", "serial number", "authority", "status", "valid until", "hub")
    now = SystemClock().now()
    for each in found:
        soon = each.status == "valid" and each.not_after_utc - now < timedelta(days=7)
        colour = "yellow" if soon else {"valid": "green", "revoked": "red"}.get(each.status, "dim")
        shown.add_row(
            escape(each.registration_id),
            each.serial_number,
            each.certificate_authority_name,
            f"[{colour}]{each.status}[/]",
            f"{each.not_after_utc:%Y-%m-%d %H:%M}Z",
            each.assigned_hub,
        )
    out.print(shown)


def _write(content: bytes, file: Path | None) -> None:
    if file is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        file.write_bytes(content)
