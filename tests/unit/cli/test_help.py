"""What `--help` shows."""

from typer import Typer
from typer.testing import CliRunner

from homeport.cli.main import build


def test_paragraphs_of_help_texts_flow() -> None:
    """A line ends where the terminal does, and not where it does in the source."""
    shown = CliRunner().invoke(build(["monitor"]), ["monitor", "--help"], terminal_width=200, env={"COLUMNS": "200"})
    assert "lost while it is watched; a slow reader is told what it missed." in shown.stdout


def test_so_do_those_of_groups_in_groups() -> None:
    program = build([])
    texts = [
        command.callback.__doc__ or ""
        for app in _all(program)
        for command in app.registered_commands
        if command.callback is not None
    ]
    assert len(texts) > 100
    assert not [
        text for text in texts if any("\n" in part and part[0] not in " -" for part in text.split("\n\n") if part)
    ]


def _all(app: Typer) -> list[Typer]:
    found = [app]
    for group in app.registered_groups:
        if group.typer_instance is not None:
            found += _all(group.typer_instance)
    return found
