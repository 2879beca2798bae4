"""`homeport audit …`: who changed what, how registrations ended, and the proof that nothing of it was altered."""

import base64
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, err, fail, out
from homeport.cli.listing import print_json

if TYPE_CHECKING:
    from homeport.client.journal_models import AuditHead

app = typer.Typer(
    help="The audit: every administrative change and every registration's outcome.",
    no_args_is_help=True,
    add_completion=False,
)

_STANDARD = Path("-")


@app.command("list")
def list_entries(
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only this kind; `device.` means all that begin so.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="Only this subject, such as devices/ID; `devices/*` for many.")
    ] = None,
    since: Annotated[datetime | None, typer.Option("--since", help="Not before this time (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option("--until", help="Before this time (UTC).")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, newest first.")] = 50,
) -> None:
    """List entries, newest first."""
    with admin(data) as client:
        page = client.page_audit(kind=kind, subject=subject, since=since, until=until, page_size=limit)
    if output is Output.JSON:
        print_json(page.items)
        return
    for each in page.items:
        where = str(each.entry.get("remoteAddress", ""))
        # One line each, however long: ids are copied from here.
        out.print(
            f"[dim]{each.seq:>6}[/]  {each.at:%Y-%m-%d %H:%M:%S}Z  [bold]{escape(each.kind):<22}[/]  "
            f"{escape(each.subject)}  by {escape(each.by)}{escape(f' from {where}' if where else '')}",
            soft_wrap=True,
        )


@app.command("export")
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; `-` for standard output.")] = _STANDARD,
    after: Annotated[int, typer.Option("--after", min=0, help="Only what is behind this entry.")] = 0,
    data: DataOption = None,
) -> None:
    """Write the audit as JSON lines: the signed head, then every entry. `homeport audit verify FILE` proves it."""
    from homeport.client.audit_file import Begin, entry_line, first_line

    with admin(data) as client, _written(output) as file:
        head = client.audit_head()
        begin = Begin(seq=head.anchor_seq, hash=head.anchor_hash)
        if after > head.anchor_seq:
            begin = Begin(seq=after, hash=client.get_audit_entry(after).hash)
        file.write(first_line(head, begin))
        count = 0
        for entry in client.audit(after=begin.seq):
            if entry.seq > head.seq:
                break
            file.write(entry_line(entry))
            count += 1
    err.print(f"{count} entries, up to {head.seq}", soft_wrap=True)


@app.command("head")
def head(data: DataOption = None) -> None:
    """Print the signed head as JSON. Kept elsewhere, it shows later whether anything before it was changed."""
    with admin(data) as client:
        typer.echo(msgspec.json.encode(client.audit_head()).decode())


@app.command("verify")
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="An exported audit; without it, the running server's is read and proven.")
    ] = None,
    kept: Annotated[
        Path | None, typer.Option("--head", help="A head that was kept before: it must still be on the chain.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="The public key (Base64) that the head must be signed with.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Prove that no entry was changed, dropped, added or moved; else name the first one that does not fit."""
    from homeport.client.audit_file import AuditFileError, Begin, prove, read_export

    earlier = None if kept is None else _head(kept)
    expected = None if key is None else _key(key)
    if file is None:
        with admin(data) as client:
            found = client.audit_head()
            start = Begin(seq=found.anchor_seq, hash=found.anchor_hash)
            # What is appended meanwhile is not looked at.
            entries = islice(client.audit(after=start.seq), found.seq - start.seq)
            proof = prove(found, start, entries, key=expected, earlier=earlier)
            verdict = client.verify_audit(last=1000)
        if proof.broken is None and not verdict.ok:
            _refuse(verdict.broken_at or 0, verdict.reason or "")
    else:
        try:
            with _read(file) as lines:
                found, start, exported = read_export(lines)
                proof = prove(found, start, exported, key=expected, earlier=earlier)
        except AuditFileError as error:
            raise fail(f"{file}: {error}") from error
    if proof.broken is not None:
        _refuse(proof.broken.seq, proof.broken.reason)
    out.print(
        f"[green]✓[/] {proof.entries} entries, {start.seq + 1} to {found.seq}, are as they were written"
        + (", and the kept head is one of them." if earlier is not None else "."),
        soft_wrap=True,
    )
    if expected is None:
        out.print(f"  signed with the key {found.public_key}", soft_wrap=True)


def _refuse(seq: int, reason: str) -> None:
    where = f"entry {seq}" if seq else "the head"
    raise fail(f"the audit is broken at {where}: {reason}")


def _head(path: Path) -> "AuditHead":
    from homeport.client.journal_models import AuditHead

    try:
        return msgspec.json.decode(path.read_bytes(), type=AuditHead)
    except (OSError, msgspec.MsgspecError) as error:
        raise fail(f"{path} holds no head of an audit: {error}") from error


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise fail("--key is not Base64") from error


@contextmanager
def _written(path: Path) -> Iterator[IO[bytes]]:
    if path == _STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise fail(f"{path}: {error.strerror}") from error


@contextmanager
def _read(path: Path) -> Iterator[IO[bytes]]:
    if path == _STANDARD:
        yield sys.stdin.buffer
        return
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise fail(f"{path}: {error.strerror}") from error
