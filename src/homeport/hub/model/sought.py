"""What a store may look for in twins before they are judged, so that those that cannot be meant are not read.

A path names members from the outside in: `tags` or `properties.desired` or `properties.reported`, then what is below.
"""

from msgspec import Struct


class OneOf(Struct, frozen=True):
    """The value there is one of these, or equal to one."""

    path: tuple[str, ...]
    values: frozenset[str | float | bool]


class Bounded(Struct, frozen=True):
    """The value there is a number within one bound, which is included; the other is None."""

    path: tuple[str, ...]
    low: float | None = None
    high: float | None = None


Sought = OneOf | Bounded
"""A necessary condition: what does not meet it is not meant, what meets it may be."""
