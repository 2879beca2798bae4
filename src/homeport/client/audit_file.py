"""An exported audit as a file of JSON lines, and its proof without a server.

The first line is an object with `homeportAudit` (1), `begin` (number and hash of what stands before the first entry)
and `head` (signed); each further line is an entry.
"""

import base64
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from homeport.client.journal_models import AuditEntry, AuditHead
from homeport.security.chain import GENESIS, Broken, Verifier, canonical, is_signed


class AuditFileError(ValueError):
    """This is no exported audit; the text says where it ends to be one."""


class Begin(msgspec.Struct, kw_only=True, frozen=True):
    """What stands before the first entry of an export."""

    seq: int = 0
    hash: str = GENESIS.hex()


class _First(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    homeport_audit: int
    begin: Begin
    head: AuditHead


class Proof(Struct, frozen=True, kw_only=True):
    """What following a chain has found; `broken` None: everything fits."""

    broken: Broken | None
    entries: int
    head: AuditHead


def first_line(head: AuditHead, begin: Begin) -> bytes:
    """Return the first line of an export."""
    return msgspec.json.encode(_First(homeport_audit=1, begin=begin, head=head)) + b"\n"


def entry_line(entry: AuditEntry) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def read_export(lines: Iterable[bytes]) -> tuple[AuditHead, Begin, Iterator[AuditEntry]]:
    """Read an export; the entries are read as they are asked for. Raises AuditFileError, then too."""
    rest = iter(lines)
    try:
        first = msgspec.json.decode(next(rest, b""), type=_First)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise AuditFileError(f"line 1 is not the beginning of an exported audit: {error}") from None
    return first.head, first.begin, _entries(rest)


def _entries(lines: Iterator[bytes]) -> Iterator[AuditEntry]:
    decoder = msgspec.json.Decoder(AuditEntry)
    for number, line in enumerate(lines, 2):
        if line.strip():
            try:
                yield decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                raise AuditFileError(f"line {number} is no entry of an audit: {error}") from None


def prove(
    head: AuditHead,
    begin: Begin,
    entries: Iterable[AuditEntry],
    *,
    key: bytes | None = None,
    earlier: AuditHead | None = None,
) -> Proof:
    """Follow the chain from `begin` to the head, and say which entry is the first that does not fit.

    `key` is the public key that the head must be signed with; without it, the one that the head names. `earlier` is
    a head that was kept before: it must lie on the chain, or before its beginning.
    """
    end = head.as_head()
    public_key = base64.b64decode(head.public_key)
    if key is not None and key != public_key:
        return Proof(broken=Broken(seq=0, reason="the head is signed with another key"), entries=0, head=head)
    if not is_signed(end, base64.b64decode(head.signature), public_key):
        return Proof(broken=Broken(seq=0, reason="the head's signature does not hold"), entries=0, head=head)
    if earlier is not None and earlier.seq > head.seq:
        reason = f"the chain ends at {head.seq}, before the head that was kept ({earlier.seq})"
        return Proof(broken=Broken(seq=head.seq + 1, reason=reason), entries=0, head=head)
    verifier, count = Verifier(seq=begin.seq, previous=bytes.fromhex(begin.hash)), 0
    for each in entries:
        if each.seq > head.seq and verifier.seq == head.seq:
            break  # it was appended while it was exported
        broken = verifier.feed(each.seq, canonical(each.entry), _hash(each.hash))
        if broken is None and earlier is not None and each.seq == earlier.seq and each.hash != earlier.hash:
            broken = Broken(seq=each.seq, reason="it is another entry than the head that was kept names")
        if broken is not None:
            return Proof(broken=broken, entries=count, head=head)
        count += 1
    return Proof(broken=verifier.finish(end), entries=count, head=head)


def _hash(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
