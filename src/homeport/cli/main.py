"""The command tree. Only the command that is called is imported, so that quick ones stay quick."""

import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from inspect import cleandoc
from keyword import iskeyword
from pathlib import Path

import typer

from homeport import __version__

COMMANDS = (
    "serve", "connection", "trust", "hub", "authority", "certificate", "policy", "allocation", "device", "job",
    "configuration", "plan", "apply", "export", "import", "query", "counts", "why", "admin", "audit", "events",
    "ip-filter", "monitor", "simulate", "fault", "demo",
)  # fmt: skip


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"homeport {__version__}")
        raise typer.Exit


def _root(
    _shown: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    server: str | None = typer.Option(
        None, "--server", envvar="HOMEPORT_SERVER", help="Administer the server at this address, with a token."
    ),
    token: str | None = typer.Option(
        None, "--token", envvar="HOMEPORT_TOKEN", help="An administrator's token (see `homeport admin`)."
    ),
    ca_file: Path | None = typer.Option(
        None, "--ca-file", envvar="HOMEPORT_CA_FILE", help="PEM of the authority to trust there."
    ),
) -> None:
    """Hold the options of the program itself."""
    if server is None and ca_file is None:
        return  # whoever is on the server's machine needs no token
    from homeport.cli.console import fail, name_server, trusted_file

    trusted_file.set(ca_file)
    if server is None:
        return
    if not token:
        raise fail("--server needs --token, or HOMEPORT_TOKEN.", code=2)
    name_server(server, token, ca_file)


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
    _flow(app)
    return app


def _flow(app: typer.Typer) -> None:
    """Let the paragraphs of help texts flow: Typer would break their lines where the source does."""
    for command in app.registered_commands:
        if command.callback is not None and command.callback.__doc__:
            paragraphs = cleandoc(command.callback.__doc__).split("\n\n")
            command.callback.__doc__ = "\n\n".join(
                text if text.startswith((" ", "-")) else text.replace("\n", " ") for text in paragraphs
            )
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _flow(group.typer_instance)


def main() -> None:
    """Run the command line: the console script's entry point."""
    # What modules make stays: looking for garbage among it takes a tenth of the time to import them.
    gc.disable()
    app = build(sys.argv[1:])
    gc.enable()
    app()


if __name__ == "__main__":
    main()
