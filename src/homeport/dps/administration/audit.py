"""The audit: every administrative change and every registration's outcome, in a chain that can be verified."""

import base64
from collections.abc import Mapping
from datetime import datetime

from msgspec import UNSET

from homeport.dps.journal import Journal, SignedHead
from homeport.dps.model import Recorded, Wanted
from homeport.dps.reply import Reply, success
from homeport.dps.service_responder import Paging, listing
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.wire import dps_journal as wire
from homeport.wire import parse_time

_NUMBER = 18


class AuditResponder:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def list(self, parameters: Mapping[str, str], paging: Paging, by: Caller) -> Reply:
        """Answer with a page, newest first, or in order with `order=asc` (and then behind the number `after`)."""
        wanted = Wanted(
            kind=parameters.get("kind") or None,
            subject=parameters.get("subject") or None,
            since=_time(parameters, "since"),
            until=_time(parameters, "until"),
        )
        order = parameters.get("order") or "desc"
        if order not in {"asc", "desc"}:
            raise HomeportError(Code.INVALID_REQUEST, "order is none of asc, desc.")
        query = f"audit {order} {wanted}"
        after = paging.after(query)
        if after is None and order == "asc" and (number := number_of(parameters, "after")) is not None:
            after = str(number)
        page = await self._journal.page(wanted, after=after, limit=paging.limit, newest_first=order == "desc")
        return listing(page, [audit_document(recorded) for recorded in page.items], query, by.tracking_id)

    async def get(self, number: str, by: Caller) -> Reply:
        """Answer with one entry."""
        seq = number_of({"seq": number}, "seq")
        found = await self._journal.read(after=(seq or 0) - 1, limit=1)
        if not found or found[0].seq != seq:
            raise HomeportError(Code.NOT_FOUND, "There is no entry of that number.")
        return success(200, audit_document(found[0]), by.tracking_id)

    async def head(self, by: Caller) -> Reply:
        """Answer with the signed head: who keeps it elsewhere will notice whatever is done to the chain before it."""
        return success(200, _head(await self._journal.head()), by.tracking_id)

    async def verify(self, parameters: Mapping[str, str], by: Caller) -> Reply:
        """Follow the chain, or its `last` entries, and say which entry is the first that does not fit."""
        broken, count, head = await self._journal.verify(last=number_of(parameters, "last"))
        verdict = wire.AuditVerdict(
            ok=broken is None,
            entries=count,
            head=_head(head),
            broken_at=UNSET if broken is None else broken.seq,
            reason=UNSET if broken is None else broken.reason,
        )
        return success(200, verdict, by.tracking_id)


def audit_document(recorded: Recorded) -> wire.AuditEntry:
    return wire.AuditEntry(seq=recorded.seq, hash=recorded.hash.hex(), entry=dict(recorded.document))


def _head(signed: SignedHead) -> wire.AuditHead:
    head = signed.head
    return wire.AuditHead(
        seq=head.seq,
        hash=head.hash.hex(),
        anchor_seq=head.anchor_seq,
        anchor_hash=head.anchor_hash.hex(),
        signature=base64.b64encode(signed.signature).decode(),
        public_key=base64.b64encode(signed.public_key).decode(),
    )


def _time(parameters: Mapping[str, str], name: str) -> datetime | None:
    text = parameters.get(name)
    if not text:
        return None
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        raise HomeportError(Code.INVALID_REQUEST, f"{name} is not a time in ISO 8601.") from None


def number_of(parameters: Mapping[str, str], name: str) -> int | None:
    """Read a whole number from 0 up. Raises HomeportError INVALID_REQUEST."""
    text = parameters.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _NUMBER):
        raise HomeportError(Code.INVALID_REQUEST, f"{name} is not a whole number from 0 up.")
    return int(text)
