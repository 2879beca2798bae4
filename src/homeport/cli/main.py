"""The command tree. Only the command that is called is imported, so that quick ones stay quick."""

import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword

import typer

from homeport import __version__

COMMANDS = (
    "serve",
    "connection",
    "trust",
    "hub",
    "certificate",
    "device",
    "plan",
    "apply",
    "export",
    "import",
    "why",
    "ip-filter",
    "demo",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"homeport {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Hold the options of the program itself."""


def build(arguments: Sequence[str]) -> typer.Typer:
    """Return the program for these arguments: with the one command they call, or with all if they call none."""
    app = typer.Typer(
        name="homeport",
        help="A self-hosted device provisioning service and IoT hub, wire-compatible with Azure DPS and IoT Hub.",
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        add_completion=False,
    )
    app.callback()(_root)
    called = next((word for word in arguments if not word.startswith("-")), None)
    for name in (called,) if called in COMMANDS else COMMANDS:
        module_name = name.replace("-", "_")
        module = import_module(f"homeport.cli.{module_name}_" if iskeyword(name) else f"homeport.cli.{module_name}")
        # A command is a function of its module's name; a group of commands is its module's `app`.
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, str(name)))
    return app


def main() -> None:
    """Run the command line: the console script's entry point."""
    build(sys.argv[1:])()


if __name__ == "__main__":
    main()
