"""How values become columns: times, keys and the JSON of a row. What a row holds is told by the `_rows` modules."""

from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar, overload

import msgspec

R = TypeVar("R")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@overload
def to_micros(time: datetime) -> int: ...
@overload
def to_micros(time: datetime | None) -> int | None: ...
def to_micros(time: datetime | None) -> int | None:
    """Return microseconds since 1970, exactly; times before it (the hub's NEVER) are negative."""
    return None if time is None else (time - _EPOCH) // _MICROSECOND


@overload
def from_micros(micros: int) -> datetime: ...
@overload
def from_micros(micros: int | None) -> datetime | None: ...
def from_micros(micros: int | None) -> datetime | None:
    """Return the time, aware and in UTC."""
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def key_of(identifier: str) -> str:
    """Return the form under which an id is found regardless of case."""
    return identifier.lower()


class Codec(Generic[R]):
    """A row's JSON, as text: both databases keep it as it is."""

    def __init__(self, shape: type[R]) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(shape)

    def encode(self, row: R) -> str:
        return self._encoder.encode(row).decode()

    def decode(self, text: str) -> R:
        """Return the row; raises msgspec.ValidationError for one that another program wrote."""
        return self._decoder.decode(text)
