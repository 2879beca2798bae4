"""The master key's file: made once, private, rotated without a moment in which a sealed key is lost."""

import base64
import secrets
from pathlib import Path

import pytest

from homeport.custody import MasterKeys, MasterKeysError

ONE, TWO = base64.b64encode(bytes(32)).decode(), base64.b64encode(bytes(range(32))).decode()


def test_it_is_made_once_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    made = MasterKeys.of_file(file, random=secrets.token_bytes)
    assert file.stat().st_mode & 0o777 == 0o600
    assert MasterKeys.of_file(file, random=secrets.token_bytes).active == made.active
    assert [entry.name for entry in tmp_path.iterdir()] == ["master.key"]


def test_a_missing_file_is_not_made_unless_told_so(tmp_path: Path) -> None:
    with pytest.raises(MasterKeysError, match="cannot be read"):
        MasterKeys.of_file(tmp_path / "master.key")


def test_the_first_key_seals_and_the_others_open() -> None:
    keys = MasterKeys.of_text(f"{TWO} {ONE}")
    assert keys.active == base64.b64decode(TWO)
    assert set(keys.by_name.values()) == {base64.b64decode(ONE), base64.b64decode(TWO)}


@pytest.mark.parametrize("text", ["", "  \n", "nonsense", ONE[:-4], f"{ONE} {ONE[:20]}", "é"])
def test_what_is_no_master_key_is_refused_without_repeating_it(text: str, tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    file.write_text(text)
    file.chmod(0o600)
    for attempt in (lambda: MasterKeys.of_text(text), lambda: MasterKeys.of_file(file)):
        with pytest.raises(MasterKeysError) as refused:
            attempt()
        assert not text.strip() or text not in str(refused.value)


def test_a_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    file.write_text(ONE)
    file.chmod(0o644)
    with pytest.raises(MasterKeysError, match="chmod 600"):
        MasterKeys.of_file(file)


def test_rotation_keeps_the_old_key_until_it_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    keys = MasterKeys.of_file(file, random=secrets.token_bytes)
    old = keys.active
    keys.add(bytes(range(32)))
    assert list(MasterKeys.of_file(file).by_name.values()) == [bytes(range(32)), old]
    keys.forget_old()
    assert list(MasterKeys.of_file(file).by_name.values()) == [bytes(range(32))]
    assert file.stat().st_mode & 0o777 == 0o600


def test_another_process_sees_the_rotation(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    one, other = (MasterKeys.of_file(file, random=secrets.token_bytes) for _ in range(2))
    one.add(bytes(32))
    assert other.active != bytes(32)
    other.reload()
    assert other.active == bytes(32)


def test_a_key_of_the_environment_is_rotated_there() -> None:
    with pytest.raises(MasterKeysError, match="environment"):
        MasterKeys.of_text(ONE).add(bytes(range(32)))


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    keys = MasterKeys.of_file(folder / "master.key", random=secrets.token_bytes)
    old = keys.active
    folder.rename(tmp_path / "moved")
    with pytest.raises(MasterKeysError, match="cannot be written"):
        keys.add(bytes(32))
    assert keys.active == old, "what is not in the file seals nothing"
