"""What `homeport monitor` and `simulate` refuse before they look for a server."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from homeport.cli.main import build


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("monitor", "--where", "n"), "--where"),
        (("monitor", "--property", "=n"), "--property"),
        (("monitor", "--since", "soon"), "--since"),
        (("simulate", "nothing.yaml"), "steady"),
        (("simulate", "bad.yaml"), "devices"),
        (("simulate", "steady", "--duration", "soon"), "duration"),
        (("simulate", "steady", "--devices", "0"), "devices"),
        (("simulate", "steady", "--prefix", "a'b"), "--prefix"),
        (("device", "twin", "patch", "d"), "nothing to change"),
        (("device", "twin", "patch", "d", "--tags", "[]"), "not a JSON object"),
        (("device", "send", "d", "x", "--property", "level"), "NAME=VALUE"),
        (("device", "send", "d", "@nothing.bin"), "nothing.bin"),
        (("device", "call", "d", "m", "{"), "not JSON"),
        (("device", "create", "d", "--proof", "thumbprint"), "--thumbprint"),
    ],
)
def test_it_is_refused_with_the_reason(
    arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("devices: 0\n")
    ended = CliRunner().invoke(build(arguments), list(arguments))
    assert ended.exit_code == 2, ended.output
    assert says in " ".join(ended.output.split())
