"""`homeport demo --exit`: the whole tutorial, and its exit status tells whether every step held."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.server import HOMEPORT

DEVICES = 3


def demo(data: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    arguments = ("demo", "--exit", "--data", str(data), "--devices", str(DEVICES), "--portal-port", "0")
    return subprocess.run(
        [*HOMEPORT, *arguments], capture_output=True, text=True, check=False, timeout=90, env=env or os.environ
    )


def test_every_device_comes_home(tmp_path: Path) -> None:
    ended = demo(tmp_path / "data")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    home = DEVICES + 4 + 2
    assert f"{home} of {home} devices are home" in ended.stdout
    for device in ("tpm-device", "press-1", *(f"sensor-{number:02}" for number in range(1, DEVICES + 1)), "gateway-4"):
        assert [text for text in ended.stdout.splitlines() if text.startswith(device)], device
    assert "Traceback" not in ended.stderr


def test_without_a_tpm_it_says_so_and_goes_on(tmp_path: Path) -> None:
    # The demo's other parts are Python's: it needs nothing from the path.
    (tmp_path / "bin").mkdir()
    ended = demo(tmp_path / "data", os.environ | {"PATH": str(tmp_path / "bin")})
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "swtpm is not installed" in ended.stdout
    home = DEVICES + 4 + 1
    assert f"{home} of {home} devices are home" in ended.stdout
