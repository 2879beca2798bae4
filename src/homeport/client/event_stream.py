"""Lines of a `text/event-stream` put together (WHATWG HTML, section 9.2). No I/O."""

from msgspec import Struct

SILENCE = 45.0
"""Seconds without a line after which a stream counts as dead; the service says something every 15."""


class Message(Struct, frozen=True, kw_only=True):
    """One event of a stream."""

    name: str
    data: str


class StreamReader:
    """Reads lines; `last_id` is where to go on after a break."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._id = last_id
        self._name = ""
        self._data: list[str] = []

    def feed(self, line: str) -> Message | None:
        """Take one line without its end; return the event that it completes."""
        if not line:
            name, data = self._name, self._data
            self._name, self._data = "", []
            self.last_id = self._id
            return Message(name=name, data="\n".join(data)) if data else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
        return None
