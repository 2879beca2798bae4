"""AMQP 1.0's types as Python values (part 1 of the standard). How they are spelt lives in `encoder` and `decoder`.

Python's own types stand for the types that they match: None null, bool boolean, int **long**, float double,
str string, bytes binary, uuid.UUID uuid, list list, dict map. The other types are the small subclasses here, so a
value that is read and written again keeps its type: a correlation-id is echoed as the ulong or symbol it was.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

from msgspec import Struct

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class _Integer(int):
    """An integer of a fixed width. Raises ValueError for a number outside its range."""

    __slots__ = ()
    lowest: ClassVar[int]
    highest: ClassVar[int]

    def __new__(cls, value: int = 0) -> Self:
        self = int.__new__(cls, value)
        if not cls.lowest <= self <= cls.highest:
            raise ValueError(f"{cls.__name__} holds {cls.lowest} to {cls.highest}")
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self)})"


class UByte(_Integer):
    __slots__ = ()
    lowest, highest = 0, 0xFF


class UShort(_Integer):
    __slots__ = ()
    lowest, highest = 0, 0xFFFF


class UInt(_Integer):
    __slots__ = ()
    lowest, highest = 0, 0xFFFF_FFFF


class ULong(_Integer):
    __slots__ = ()
    lowest, highest = 0, 0xFFFF_FFFF_FFFF_FFFF


class Byte(_Integer):
    __slots__ = ()
    lowest, highest = -0x80, 0x7F


class Short(_Integer):
    __slots__ = ()
    lowest, highest = -0x8000, 0x7FFF


class Int(_Integer):
    """AMQP's int of 32 bits; Python's own int stands for long."""

    __slots__ = ()
    lowest, highest = -0x8000_0000, 0x7FFF_FFFF


class Timestamp(_Integer):
    """Milliseconds since 1970 in UTC, possibly before it and beyond what datetime can hold."""

    __slots__ = ()
    lowest, highest = -0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF

    @classmethod
    def of(cls, moment: datetime) -> "Timestamp":
        """Return the milliseconds of an aware datetime."""
        return cls((moment - _EPOCH) // _MILLISECOND)

    def moment(self) -> datetime:
        """Return this time in UTC. Raises OverflowError outside the years 1 to 9999."""
        return _EPOCH + _MILLISECOND * int(self)


class Float(float):
    """AMQP's float of 32 bits; Python's own float stands for double."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Float({float(self)})"


class Symbol(str):
    """A name of ASCII characters; it equals the string that is spelt alike."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Symbol({str.__repr__(self)})"


class Char(str):
    """One Unicode character."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Char({str.__repr__(self)})"


class Decimal32(bytes):
    """Four bytes of IEEE 754 decimal, carried unread."""

    __slots__ = ()


class Decimal64(bytes):
    """Eight bytes of IEEE 754 decimal, carried unread."""

    __slots__ = ()


class Decimal128(bytes):
    """Sixteen bytes of IEEE 754 decimal, carried unread."""

    __slots__ = ()


class Described(Struct, frozen=True):
    """A value with a descriptor (usually a Symbol or ULong) that says what it means."""

    descriptor: Any
    value: Any


class Array(Struct, frozen=True):
    """Values of one type: `of` is the class that stands for it (NoneType, int, Symbol, list …, Array for arrays).

    With a `descriptor`, all values are described by it.
    """

    of: type
    values: tuple[Any, ...] = ()
    descriptor: Any = None
