"""The data directory: private, one server at a time, replaced files whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from homeport.app.directory import ConnectionInfo, DataDirectory, DirectoryError

INFO = ConnectionInfo(
    id_scope="0ne00000001",
    global_endpoint="localhost",
    dps_connection_string="HostName=localhost;SharedAccessKeyName=provisioningserviceowner;SharedAccessKey=c2VjcmV0",
    hub_connection_strings={"hub": "HostName=127.0.0.1;SharedAccessKeyName=iothubowner;SharedAccessKey=c2VjcmV0"},
    ca_file="ca.pem",
    portal_url="http://127.0.0.1:8080",
    admin_connection_string="HostName=127.0.0.1;SharedAccessKeyName=owner;SharedAccessKey=c2VjcmV0",
)


def test_everything_is_private(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "data") as directory:
        directory.write("secret", b"x")
        directory.write_connection(INFO)
        assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
        for file in directory.path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_one_server_at_a_time(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "data") as first:
        second = DataDirectory(first.path)
        assert second.is_served()
        with pytest.raises(DirectoryError, match="another Homeport server"):
            second.lock()
    assert not second.is_served()
    second.lock()
    second.unlock()


def test_connection_information_comes_back_and_hides_its_keys(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.create()
    with pytest.raises(DirectoryError, match="homeport serve"):
        directory.read_connection()
    directory.write_connection(INFO)
    assert directory.read_connection() == INFO
    assert "c2VjcmV0" not in repr(INFO)


def test_an_interrupted_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = DataDirectory(tmp_path)
    directory.write("file", b"old")

    def power_cut(_: int) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(OSError, match="power cut"):
        directory.write("file", b"new")
    assert directory.read("file") == b"old"


def test_a_directory_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryError, match="--data"):
        DataDirectory(tmp_path / "file" / "data").create()
