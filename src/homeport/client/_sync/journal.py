# Made by scripts/unasync.py: change its twin in _async instead.
"""The client of the audit, of lifecycle events and their subscriptions, and of administrators (`/homeport/`)."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from homeport.client._sync.http import only, segment
from homeport.client._sync.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.journal_models import (
    Administrator,
    AuditEntry,
    AuditHead,
    AuditVerdict,
    CloudEvent,
    DeadLetter,
    EventSubscription,
    Me,
    NewToken,
    Replayed,
    Tried,
)
from homeport.client.models import Page

_AUDIT = "/homeport/audit"
_SUBSCRIPTIONS = "/homeport/eventSubscriptions"
_ADMINISTRATORS = "/homeport/administrators"


class JournalClient(ServiceClient):
    """What stands on the journal. Every method raises ProvisioningServiceError or TransportError."""

    # --- audit ------------------------------------------------------------------------------------------------

    def page_audit(
        self,
        *,
        kind: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int | None = None,
        continuation: str | None = None,
    ) -> Page[AuditEntry]:
        """Return one page of entries, newest first.

        A `kind` that ends in a dot means all that begin so (`device.`), a `subject` that ends in `*` likewise.
        """
        query = only(
            {
                "kind": kind,
                "subject": subject,
                "since": None if since is None else since.isoformat(),
                "until": None if until is None else until.isoformat(),
            }
        )
        return self._audit_page(query, page_size, continuation)

    def audit(self, *, after: int = 0, page_size: int = 1000) -> Iterator[AuditEntry]:
        """Yield all entries behind the number `after`, in order; each page is asked for when it is reached."""
        continuation = None
        while True:
            page = self._audit_page({"order": "asc", "after": str(after)}, page_size, continuation)
            yield from page.items
            continuation = page.continuation
            if continuation is None:
                return

    def get_audit_entry(self, seq: int) -> AuditEntry:
        """Return one entry. NotFoundError if there is none of that number, or not any more."""
        return self._get(f"{_AUDIT}/{seq}", AuditEntry)

    def audit_head(self) -> AuditHead:
        """Return the signed head. Kept elsewhere, it shows later whether anything before it was changed."""
        return self._get(f"{_AUDIT}/head", AuditHead)

    def verify_audit(self, *, last: int | None = None) -> AuditVerdict:
        """Let the service follow its chain, or its `last` entries. `audit_file.prove` does so without trusting it."""
        query = {} if last is None else {"last": str(last)}
        response = self._session.send("POST", f"{_AUDIT}/verify", query=query, repeatable=True)
        return decode(response.content, AuditVerdict)

    def _audit_page(self, query: dict[str, str], page_size: int | None, continuation: str | None) -> Page[AuditEntry]:
        size = None if page_size is None else str(page_size)
        headers = only({"x-ms-max-item-count": size, "x-ms-continuation": continuation})
        response = self._session.send("GET", _AUDIT, query=query, headers=headers, repeatable=True)
        items = decode(response.content, list[AuditEntry])
        return Page(items=items, continuation=response.headers.get("x-ms-continuation") or None)

    # --- events -----------------------------------------------------------------------------------------------

    def events(
        self,
        *,
        types: Sequence[str] = (),
        subject: str = "",
        after: int | str | None = None,
        replay: int = 0,
    ) -> Iterator[CloudEvent]:
        """Yield events as they happen, without an end; nothing is lost when the connection is.

        `types` (with or without `io.homeport.`; `device.*` means all that begin so) and the beginning of the
        `subject` narrow. It begins behind the event with the id `after`, or with the last `replay` ones, or now.
        Raises TransportError when the service stays away longer than the retry policy allows.
        """
        narrow = only({"types": ",".join(types) or None, "subject": subject or None})
        place = {"replay": str(replay)} if after is None else {"after": str(after)}
        for message in self._session.messages("/homeport/events", query=narrow, place=place):
            if message.name != "end":
                yield decode(message.data.encode(), CloudEvent)

    # --- subscriptions ----------------------------------------------------------------------------------------

    def event_subscriptions(self) -> list[EventSubscription]:
        """Return every event subscription, by name."""
        return self._get(_SUBSCRIPTIONS, list[EventSubscription])

    def get_event_subscription(self, name: str) -> EventSubscription:
        """Return one, with how its delivery goes. NotFoundError."""
        return self._get(f"{_SUBSCRIPTIONS}/{segment(name)}", EventSubscription)

    def subscribe(
        self,
        name: str,
        url: str,
        *,
        types: Sequence[str] = (),
        subject_prefix: str = "",
        mode: str = "structured",
        secret: str | None = None,
        signed: bool = True,
        enabled: bool = True,
        ca_certificates: str | None = None,
        max_attempts: int | None = None,
    ) -> EventSubscription:
        """Make a subscription, or replace it; the webhook is asked first whether it agrees (BadRequestError).

        `secret` None lets the service make one for a new subscription and keep that of an old one; `signed` False
        sends messages without a signature. The answer tells a secret that was set.
        """
        document: dict[str, Any] = {
            "url": url,
            "types": list(types),
            "subjectPrefix": subject_prefix,
            "mode": mode,
            "enabled": enabled,
        }
        if secret is not None or not signed:
            document["secret"] = secret if signed else None
        if ca_certificates is not None:
            document["caCertificates"] = ca_certificates
        if max_attempts is not None:
            document["maxAttempts"] = max_attempts
        response = self._session.send(
            "PUT", f"{_SUBSCRIPTIONS}/{segment(name)}", body=msgspec.json.encode(document), repeatable=False
        )
        return decode(response.content, EventSubscription)

    def unsubscribe(self, name: str) -> None:
        """Remove a subscription and what was given up for it. NotFoundError."""
        self._session.send("DELETE", f"{_SUBSCRIPTIONS}/{segment(name)}", repeatable=True)

    def test_subscription(self, name: str) -> Tried:
        """Send a test event to the webhook now. NotFoundError if there is no such subscription."""
        path = f"{_SUBSCRIPTIONS}/{segment(name)}/test"
        return decode((self._session.send("POST", path, repeatable=True)).content, Tried)

    def dead_letters(self, name: str, *, page_size: int | None = None) -> Iterator[DeadLetter]:
        """Yield what was given up, the oldest first."""
        path = f"{_SUBSCRIPTIONS}/{segment(name)}/deadLetters"
        return self._every(path, DeadLetter, method="GET", page_size=page_size)

    def replay_events(self, name: str, *, after: int | None = None) -> int:
        """Deliver once more what was given up, or everything behind the event `after`; returns how many at most."""
        path = f"{_SUBSCRIPTIONS}/{segment(name)}/replay"
        body = msgspec.json.encode({} if after is None else {"after": after})
        return decode((self._session.send("POST", path, body=body, repeatable=False)).content, Replayed).events

    # --- administrators ---------------------------------------------------------------------------------------

    def me(self) -> Me:
        """Return who this client is to the service."""
        return self._get("/homeport/me", Me)

    def administrators(self) -> list[Administrator]:
        """Return every administrator, by name; whoever has the start token is not listed."""
        return self._get(_ADMINISTRATORS, list[Administrator])

    def create_administrator(self, name: str, role: str, *, expires: datetime | None = None) -> NewToken:
        """Make an administrator; the answer holds the token, this once. ConflictError if the name is taken."""
        body = msgspec.json.encode(_administrator(role, expires))
        path = f"{_ADMINISTRATORS}/{segment(name)}"
        return decode((self._session.send("PUT", path, body=body, repeatable=False)).content, NewToken)

    def update_administrator(
        self, name: str, *, role: str | None = None, expires: datetime | None = None
    ) -> Administrator:
        """Change role or expiry; None leaves a value as it is. NotFoundError."""
        body = msgspec.json.encode(_administrator(role, expires))
        path = f"{_ADMINISTRATORS}/{segment(name)}"
        return decode((self._session.send("PATCH", path, body=body, repeatable=True)).content, Administrator)

    def renew_administrator(self, name: str, *, expires: datetime | None = None) -> NewToken:
        """Give a fresh token, with this expiry; the old one is worth nothing from then on. NotFoundError."""
        body = msgspec.json.encode(_administrator(None, expires))
        path = f"{_ADMINISTRATORS}/{segment(name)}/token"
        return decode((self._session.send("POST", path, body=body, repeatable=False)).content, NewToken)

    def revoke_administrator(self, name: str) -> None:
        """Remove an administrator. NotFoundError."""
        self._session.send("DELETE", f"{_ADMINISTRATORS}/{segment(name)}", repeatable=True)


def _administrator(role: str | None, expires: datetime | None) -> dict[str, str]:
    return only({"role": role, "expiresDateTimeUtc": None if expires is None else expires.isoformat()})
