"""What `homeport.values` adds to structs."""

from io import StringIO

import pytest
from msgspec import Struct
from rich.console import Console
from rich.pretty import Pretty

from homeport.values import equal_by, hidden_fields, hiding, replace


@hiding("key")
class Lock(Struct, frozen=True, kw_only=True):
    name: str
    key: bytes


class Door(Lock, frozen=True, kw_only=True):
    height: int = 2


@hiding("code")
class Safe(Lock, frozen=True, kw_only=True):
    code: str


@equal_by("der")
class Parsed(Struct, frozen=True, kw_only=True, eq=False):
    der: bytes
    meaning: object


def pretty(value: object) -> str:
    """What rich shows of it: in tracebacks, for one."""
    out = StringIO()
    Console(file=out, width=200).print(Pretty(value))
    return out.getvalue()


def test_hidden_fields_are_not_shown() -> None:
    lock = Lock(name="front", key=b"secret")
    assert repr(lock) == "Lock(name='front')"
    assert "secret" not in pretty(lock)
    assert "front" in pretty(lock)


def test_what_is_hidden_above_stays_hidden_below() -> None:
    assert repr(Door(name="front", key=b"secret")) == "Door(name='front', height=2)"
    safe = Safe(name="small", key=b"secret", code="1234")
    assert repr(safe) == "Safe(name='small')"
    assert hidden_fields(Safe) == {"key", "code"}
    assert hidden_fields(Lock) == {"key"}
    assert not hidden_fields(Parsed)


def test_only_fields_can_be_hidden() -> None:
    with pytest.raises(TypeError, match="Lock has no field kye"):
        hiding("kye")(Lock)


def test_equal_by_one_field() -> None:
    one, same, other = (Parsed(der=der, meaning=object()) for der in (b"a", b"a", b"b"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != object()
    assert len({one, same, other}) == 2


def test_replace_keeps_the_rest_and_refuses_strangers() -> None:
    lock = Lock(name="front", key=b"secret")
    assert replace(lock, name="back") == Lock(name="back", key=b"secret")
    assert lock.name == "front"
    with pytest.raises(TypeError):
        replace(lock, nmae="back")  # type: ignore[call-arg]
