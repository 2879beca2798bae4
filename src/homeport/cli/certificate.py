"""`homeport certificate …`: the certificate authorities that devices' chains may end at, and what expires soon."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, err, fail, out
from homeport.cli.listing import plain_table, print_json
from homeport.clock import SystemClock

if TYPE_CHECKING:
    from homeport.client import CaCertificate

app = typer.Typer(
    help="Certificate authorities: upload, prove, revoke by their lists, see what expires.",
    no_args_is_help=True,
    add_completion=False,
)


class Policy(StrEnum):
    """What an authority's silence about a certificate means."""

    REQUIRE = "require"
    PREFER = "prefer"
    OFF = "off"


NameArgument = Annotated[str, typer.Argument(help="Name of the CA certificate.")]


@app.command("upload")
def upload(
    name: Annotated[str, typer.Argument(help="Name that enrollments refer to it by.")],
    file: Annotated[Path, typer.Argument(help="The certificate: PEM, DER, or Base64 of DER.")],
    data: DataOption = None,
    verified: Annotated[
        bool, typer.Option("--verified", help="Take your word that it may let devices in; else it has to be proven.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the one of that name.")] = False,
    revocation: Annotated[
        Policy | None, typer.Option("--revocation", help="What it means when nothing is known of a certificate.")
    ] = None,
) -> None:
    """Upload a root or intermediate certificate."""
    certificate = certificate_text(file)
    with admin(data) as client:
        found = client.upload_ca_certificate(
            name,
            certificate,
            verified=verified or None,
            revocation=None if revocation is None else revocation.value,
            etag="*" if replace else None,
        )
    out.print(f"CA certificate [bold]{escape(found.name)}[/]: {escape(found.subject)}, until {found.expiry:%Y-%m-%d}.")
    if not found.is_verified:
        out.print(f"It is not verified yet: homeport certificate code {escape(found.name)}")
    _warn(found)


@app.command("list")
def list_certificates(data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the CA certificates."""
    with admin(data) as client:
        found = client.ca_certificates()
    if output is Output.JSON:
        print_json(found)
        return
    if not found:
        err.print("No CA certificate is uploaded. Groups may also hold their signing certificates themselves.")
        return
    table = plain_table("name", "subject", "until", "verified", "revocation", "groups")
    for one in found:
        until = f"{one.expiry:%Y-%m-%d}"
        table.add_row(
            escape(one.name),
            escape(one.subject),
            f"[bold red]{until} ({one.warning})[/]" if one.warning else until,
            "yes" if one.is_verified else "[bold]no[/]",
            _revocation(one),
            escape(", ".join(one.groups)) or "[dim]none[/]",
        )
    out.print(table)


@app.command("show")
def show(name: NameArgument, data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show one CA certificate with everything that belongs to it."""
    with admin(data) as client:
        one = client.get_ca_certificate(name)
    if output is Output.JSON:
        print_json(one)
        return
    settings = one.revocation
    rows = {
        "name": one.name,
        "subject": one.subject,
        "issuer": one.issuer,
        "valid": f"{one.not_before:%Y-%m-%d %H:%M:%S}Z to {one.expiry:%Y-%m-%d %H:%M:%S}Z",
        "verified": "yes" if one.is_verified else "no",
        "verification code": one.verification_code,
        "SHA-256": one.sha256_thumbprint,
        "groups": ", ".join(one.groups) or "none",
        "revocation": f"{settings.policy}; distribution points {_yes(settings.use_distribution_points)}, "
        f"OCSP {_yes(settings.use_ocsp)}",
        "CRL address": settings.crl_url,
        "CRL": _crl(one),
        "CRL problem": one.crl_problem,
        "warning": one.warning,
    }
    for label, value in rows.items():
        if value:
            out.print(f"[bold]{label:<18}[/] {escape(value)}", soft_wrap=True)


@app.command("code")
def code(name: NameArgument, data: DataOption = None) -> None:
    """Have a verification code made, and say how to prove possession with it."""
    with admin(data) as client:
        found = client.generate_verification_code(name)
    text = found.verification_code or ""
    out.print(f"Verification code: [bold]{text}[/]\n", soft_wrap=True)
    out.print("Issue a certificate with it as the common name, with the CA's key, for example:", soft_wrap=True)
    subject = f"/CN={text}"
    out.print(
        f"  openssl req -new -newkey rsa:2048 -nodes -keyout proof.key -subj {subject} -out proof.csr", soft_wrap=True
    )
    out.print("  openssl x509 -req -in proof.csr -CA ca.pem -CAkey ca.key -days 1 -out proof.pem", soft_wrap=True)
    out.print(f"  homeport certificate verify {escape(found.name)} proof.pem", soft_wrap=True)


@app.command("verify")
def verify(
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
            found = client.set_ca_certificate_verified(name)
        else:
            found = client.verify_ca_certificate(name, certificate_text(file))
    out.print(f"CA certificate [bold]{escape(found.name)}[/] is verified.")


@app.command("delete")
def delete(name: NameArgument, data: DataOption = None) -> None:
    """Delete a CA certificate that no enrollment refers to."""
    with admin(data) as client:
        client.delete_ca_certificate(name)
    out.print(f"CA certificate [bold]{escape(name)}[/] is deleted.")


@app.command("revocation")
def revocation(
    name: NameArgument,
    data: DataOption = None,
    policy: Annotated[
        Policy | None,
        typer.Option(
            "--policy",
            help="require: nobody comes in about whom nothing is known; prefer: only the revoked are refused; off.",
        ),
    ] = None,
    crl_url: Annotated[
        str | None, typer.Option("--crl-url", help="Where to fetch the CRL, ahead of time; '' for nowhere.")
    ] = None,
    points: Annotated[
        bool | None,
        typer.Option("--distribution-points/--no-distribution-points", help="Fetch from where certificates say."),
    ] = None,
    ocsp: Annotated[
        bool | None, typer.Option("--ocsp/--no-ocsp", help="Ask the OCSP responders that certificates name.")
    ] = None,
) -> None:
    """Say what is asked about the certificates below an authority."""
    with admin(data) as client:
        found = client.set_revocation(
            name,
            policy=None if policy is None else policy.value,
            crl_url=crl_url,
            use_distribution_points=points,
            use_ocsp=ocsp,
        )
    out.print(f"Revocation below [bold]{escape(found.name)}[/]: {_revocation(found)}.")


@app.command("crl")
def crl(
    name: NameArgument,
    file: Annotated[Path | None, typer.Argument(help="The revocation list, PEM or DER.")] = None,
    data: DataOption = None,
    delete: Annotated[bool, typer.Option("--delete", help="Forget the list instead.")] = False,
) -> None:
    """Upload an authority's revocation list; it counts at once."""
    if delete == (file is not None):
        raise fail("give the revocation list, or --delete")
    with admin(data) as client:
        if file is None:
            client.delete_crl(name)
            out.print(f"The CRL of [bold]{escape(name)}[/] is forgotten.")
            return
        found = client.upload_crl(name, _bytes(file))
    out.print(f"CRL of [bold]{escape(found.name)}[/]: {escape(_crl(found))}.", soft_wrap=True)


@app.command("expiring")
def expiring(
    data: DataOption = None,
    days: Annotated[int, typer.Option("--days", min=0, max=60, help="Within how many days.")] = 60,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the certificates of authorities, groups and devices that end soon. Exit status 3 if there are any."""
    with admin(data) as client:
        report = client.expiring_certificates(days=days)
    if output is Output.JSON:
        print_json(report)
    elif not report.certificates:
        out.print(f"No certificate ends within {days} days.")
    else:
        table = plain_table("ends", "of", "name", "subject")
        kinds = {"caCertificate": "CA certificate", "enrollmentGroup": "group", "individualEnrollment": "enrollment"}
        for one in report.certificates:
            ends = f"{one.expiry:%Y-%m-%d} {one.warning}"
            table.add_row(ends, kinds.get(one.kind, one.kind), escape(one.name), escape(one.subject))
        out.print(table)
        if report.more:
            out.print(f"and {report.more} more.")
    if report.scanned_date_time_utc is None and output is Output.TABLE:
        err.print("Individual enrollments have not been looked through yet.")
    if report.certificates:
        raise typer.Exit(3)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise fail(f"cannot read {file}: {error.strerror}") from error


def certificate_text(file: Path) -> str:
    """Return a certificate file as text: PEM as it is, DER in Base64."""
    import base64

    content = _bytes(file)
    # DER begins with a byte that no PEM or Base64 text does.
    return (
        base64.b64encode(content).decode()
        if content[:1] == b"\x30" and b"-----" not in content
        else (content.decode("utf-8", errors="replace"))
    )


def _revocation(one: "CaCertificate") -> str:
    settings = one.revocation
    sources = [
        "CRL" if one.crl else "",
        "CRL address" if settings.crl_url else "",
        "distribution points" if settings.use_distribution_points else "",
        "OCSP" if settings.use_ocsp else "",
    ]
    known = ", ".join(filter(None, sources))
    due = None if one.crl is None else one.crl.next_update_utc
    if due is not None and due < SystemClock().now():
        known += "; CRL out of date"
    return settings.policy if settings.policy == Policy.OFF or not known else f"{settings.policy} ({known})"


def _crl(one: "CaCertificate") -> str:
    if one.crl is None:
        return ""
    number = f"number {one.crl.number}, " if one.crl.number else ""
    due = f", next one due {one.crl.next_update_utc:%Y-%m-%d %H:%M}Z" if one.crl.next_update_utc else ""
    return (
        f"{number}{one.crl.entries} revoked, of {one.crl.this_update_utc:%Y-%m-%d %H:%M}Z{due}, from {one.crl.source}"
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _warn(one: "CaCertificate") -> None:
    if one.warning:
        err.print(f"[bold yellow]warning[/] {escape(one.subject)} {one.warning}.", soft_wrap=True)
