"""Entries as events (CloudEvents 1.0, JSON format and HTTP binding), and which of them somebody wants. Pure."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from homeport.dps.model import TYPE_PREFIX, Recorded
from homeport.wire import encode

STRUCTURED = "application/cloudevents+json; charset=utf-8"
_NO_DATA = frozenset({"at", "kind", "subject", "data"})


def cloud_event(recorded: Recorded, source: str) -> dict[str, Any]:
    """Return the event as a JSON object. `source` and `id` together name it: the number in the journal is the id.

    `sequence` (an extension) orders the events of a source when it is compared as text.
    """
    document = recorded.document
    data = {name: value for name, value in document.items() if name not in _NO_DATA} | dict(document["data"])
    event = make_event(str(recorded.seq), source, recorded.kind, recorded.subject, document["at"], data)
    return event | {"sequence": f"{recorded.seq:018}"}


def make_event(
    identifier: str, source: str, kind: str, subject: str, time: str, data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an event of its parts."""
    return {
        "specversion": "1.0",
        "id": identifier,
        "source": source,
        "type": TYPE_PREFIX + kind,
        "subject": subject,
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    }


def structured(event: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Return headers and body of the structured content mode."""
    return {"Content-Type": STRUCTURED}, encode(event)


def binary(event: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Return headers and body of the binary content mode: attributes are headers, percent-encoded (3.1.3.2)."""
    headers = {
        f"ce-{name}": quote(str(value), safe=" !#$&'()*+,/:;=?@[]-._~^`{|}<>\\")
        for name, value in event.items()
        if name not in {"data", "datacontenttype"}
    }
    return headers | {"Content-Type": "application/json"}, encode(event["data"])
