"""The command tree. Each command imports what it needs when it runs, so that `homeport --help` stays quick."""

import typer

from homeport import __version__

app = typer.Typer(
    name="homeport",
    help="A self-hosted device provisioning service and IoT hub, wire-compatible with Azure DPS and IoT Hub.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"homeport {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Hold the options of every command."""


def main() -> None:
    """Run the command line: the console script's entry point."""
    from homeport.cli import connection, demo, hub, serve, trust, why

    app.command("serve")(serve.serve)
    app.command("connection")(connection.connection)
    app.command("trust")(trust.trust)
    app.command("why")(why.why)
    app.command("demo")(demo.demo)
    app.add_typer(hub.app, name="hub")
    app()


if __name__ == "__main__":
    main()
