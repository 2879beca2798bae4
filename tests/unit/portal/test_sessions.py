import itertools
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from homeport.portal.context import PortalApi
from homeport.portal.sessions import ATTEMPTS, IDLE, LIFE, MAX_SESSIONS, REFILL, Doorkeeper, Entrance, Sessions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WHO = Entrance(name="anna", role="operator", api=cast("PortalApi", None))


@pytest.fixture
def sessions() -> Sessions:
    numbers = itertools.count()
    return Sessions(lambda: f"id-{next(numbers)}")


def test_a_session_is_found_until_it_is_closed(sessions: Sessions) -> None:
    session = sessions.open(NOW, WHO)
    assert sessions.find(session.id, NOW) is session
    sessions.close(session)
    assert sessions.find(session.id, NOW) is None


def test_an_unused_session_ends(sessions: Sessions) -> None:
    session = sessions.open(NOW, WHO)
    assert sessions.find(session.id, NOW + IDLE) is session
    assert sessions.find(session.id, NOW + IDLE + IDLE + timedelta(seconds=1)) is None


def test_a_used_session_ends_too_after_its_life(sessions: Sessions) -> None:
    session = sessions.open(NOW, WHO)
    at = NOW
    while at - NOW <= LIFE:
        assert sessions.find(session.id, at) is session
        at += IDLE
    assert sessions.find(session.id, at) is None
    assert not sessions.is_open(session, NOW)


def test_looking_does_not_count_as_use(sessions: Sessions) -> None:
    session = sessions.open(NOW, WHO)
    assert sessions.is_open(session, NOW + IDLE)
    assert not sessions.is_open(session, NOW + IDLE + timedelta(seconds=1))


def test_the_longest_unused_session_makes_room(sessions: Sessions) -> None:
    first = sessions.open(NOW, WHO)
    second = sessions.open(NOW, WHO)
    for _ in range(MAX_SESSIONS - 2):
        sessions.open(NOW + timedelta(minutes=1), WHO)
    sessions.find(first.id, NOW + timedelta(minutes=2))
    sessions.open(NOW + timedelta(minutes=3), WHO)
    assert sessions.find(first.id, NOW + timedelta(minutes=3)) is first
    assert sessions.find(second.id, NOW + timedelta(minutes=3)) is None


def test_ids_and_csrf_tokens_differ_and_stay_out_of_representations(sessions: Sessions) -> None:
    session = sessions.open(NOW, WHO)
    assert session.id != session.csrf
    assert session.id not in repr(session)
    assert session.csrf not in repr(session)


def test_secrets_are_shown_once_and_only_on_their_page(sessions: Sessions) -> None:
    session = sessions.open(NOW, WHO)
    session.secrets["/groups/a"] = {"Primary key": "s3cret"}
    assert session.take_secrets("/groups/a") == {"Primary key": "s3cret"}
    assert session.take_secrets("/groups/a") == {}
    session.secrets["/groups/a"] = {"Primary key": "s3cret"}
    assert session.take_secrets("/groups/b") == {}
    assert session.take_secrets("/groups/a") == {}


def test_the_doorkeeper_knows_one_token() -> None:
    doorkeeper = Doorkeeper(b"token\n")
    assert doorkeeper.admits(" token ")
    assert not doorkeeper.admits("Token")
    assert not doorkeeper.admits("")
    assert not doorkeeper.admits("token" * 1000)
    assert not doorkeeper.admits("tökén")


@pytest.mark.parametrize("empty", ["", b"", " \n"])
def test_an_empty_token_would_admit_everybody(empty: str | bytes) -> None:
    with pytest.raises(ValueError, match="empty"):
        Doorkeeper(empty)


def test_failures_are_limited_and_forgotten_with_time() -> None:
    doorkeeper = Doorkeeper("token")
    for _ in range(ATTEMPTS):
        assert doorkeeper.seconds_to_wait(NOW) == 0
        doorkeeper.count_failure(NOW)
    wait = doorkeeper.seconds_to_wait(NOW)
    assert 0 < wait <= REFILL.total_seconds()
    assert doorkeeper.seconds_to_wait(NOW + timedelta(seconds=wait)) == 0


def test_installations_have_different_names_that_do_not_tell_the_token() -> None:
    one, other = Doorkeeper("one"), Doorkeeper("other")
    assert one.name == Doorkeeper("one").name != other.name
    assert "one" not in one.name
