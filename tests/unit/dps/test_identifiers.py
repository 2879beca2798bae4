"""Ids in the hosted service's forms."""

import base64
import re
import secrets
import uuid

import pytest

from homeport.dps.identifiers import check_registration_id, is_device_id, new_etag, new_guid, new_operation_id
from homeport.errors import Code, HomeportError


@pytest.mark.parametrize("text", ["a", "-", "A.b_c:d-9", "x" * 128])
def test_registration_ids(text: str) -> None:
    assert check_registration_id(text) == text


@pytest.mark.parametrize("text", ["", "a.", "a:", "a_", "x" * 129, "a b", "é", "a/b", "a\n", "\u212a"])
def test_other_texts_are_none(text: str) -> None:
    with pytest.raises(HomeportError) as caught:
        check_registration_id(text)
    assert caught.value.code is Code.INVALID_REGISTRATION_ID
    assert caught.value.message == "Invalid RegistrationId"


def test_device_ids_may_have_punctuation_but_no_slash() -> None:
    assert is_device_id("Pump#7(left)")
    assert not is_device_id("a/b")
    assert not is_device_id("")


def test_guids_are_of_version_4() -> None:
    made = {new_guid(secrets.token_bytes) for _ in range(200)}
    assert len(made) == 200
    for text in made:
        assert str(uuid.UUID(text)) == text
        assert uuid.UUID(text).version == 4
        assert uuid.UUID(text).variant == uuid.RFC_4122


def test_etags_are_quoted_guids_in_base64() -> None:
    assert re.fullmatch(rb'"[0-9a-f-]{36}"', base64.b64decode(new_etag(secrets.token_bytes)))


def test_operation_ids_share_their_middle_within_an_id_scope() -> None:
    one, other = new_operation_id("0neA", secrets.token_bytes), new_operation_id("0NEa", secrets.token_bytes)
    assert re.fullmatch(r"5\.[0-9a-f]{16}\.[0-9a-f-]{36}", one)
    assert one.split(".")[1] == other.split(".")[1] != new_operation_id("0neB", secrets.token_bytes).split(".")[1]
    assert one != other
