"""Values: what the rooms hand each other.

They are frozen `msgspec.Struct`s, for what those cost (docs/adr/0012). What has a life of its own, and changes, is an
ordinary class or a dataclass.
"""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    # To a reader it is the same function; of this one a type checker compares the arguments with the fields.
    from dataclasses import replace
else:
    from msgspec.structs import replace

__all__ = ["equal_by", "hidden_fields", "hiding", "replace"]

V = TypeVar("V", bound=Struct)


def equal_by(name: str) -> Callable[[type[V]], type[V]]:
    """Compare values by this field alone: the others follow from it."""
    key = attrgetter(name)

    def equal(value: V, other: object) -> bool:
        return other.__class__ is value.__class__ and bool(key(other) == key(value))

    def hashed(value: V) -> int:
        return hash(key(value))

    def decorated(cls: type[V]) -> type[V]:
        cls.__eq__ = equal  # type: ignore[method-assign, assignment]
        cls.__hash__ = hashed  # type: ignore[method-assign, assignment]
        return cls

    return decorated


def hiding(*secrets: str) -> Callable[[type[V]], type[V]]:
    """Leave these fields out of what a value says about itself: in errors, logs and failing tests."""

    def decorated(cls: type[V]) -> type[V]:
        if unknown := set(secrets) - set(cls.__struct_fields__):
            raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(unknown))}")
        cls.__hidden_fields__ = hidden_fields(cls).union(secrets)  # type: ignore[attr-defined]
        cls.__repr__ = _described  # type: ignore[method-assign, assignment]
        cls.__rich_repr__ = _shown  # type: ignore[method-assign, assignment]
        return cls

    return decorated


def hidden_fields(cls: type[Struct]) -> frozenset[str]:
    """Name the fields that `hiding` leaves out of what values of this class, or of one above it, say."""
    return getattr(cls, "__hidden_fields__", frozenset())


def _shown(value: Struct) -> Iterator[tuple[str, Any]]:
    hidden = hidden_fields(type(value))
    return ((name, getattr(value, name)) for name in value.__struct_fields__ if name not in hidden)


def _described(value: Struct) -> str:
    return f"{type(value).__name__}({', '.join(f'{name}={member!r}' for name, member in _shown(value))})"
