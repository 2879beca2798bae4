"""`homeport serve`: run the server in the foreground."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from homeport.app.config import ConfigError, load_config
from homeport.app.serve import CannotStartError, Ready, run
from homeport.cli.console import err, fail

_LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def serve(
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Data directory, created if missing.", show_default="XDG state directory"),
    ] = None,
    database: Annotated[
        str | None, typer.Option("--database", help="postgresql://… instead of SQLite in the data directory.")
    ] = None,
    bus: Annotated[
        list[str] | None,
        typer.Option(
            "--bus",
            help="nats://… or tls://… of a NATS server that joins processes on one database; repeatable.",
            show_default="none",
        ),
    ] = None,
    bus_ca_file: Annotated[
        Path | None,
        typer.Option("--bus-ca-file", help="Authorities trusted for --bus.", show_default="the system's"),
    ] = None,
    bind: Annotated[
        list[str] | None, typer.Option("--bind", help="Address to listen on; repeatable.", show_default="all")
    ] = None,
    hostname: Annotated[
        list[str] | None,
        typer.Option(
            "--hostname",
            help="Name of the provisioning service; repeatable, clients are told the first.",
            show_default="localhost",
        ),
    ] = None,
    https_port: Annotated[int | None, typer.Option("--https-port", show_default="443")] = None,
    mqtt_port: Annotated[int | None, typer.Option("--mqtt-port", show_default="8883")] = None,
    amqp_port: Annotated[int | None, typer.Option("--amqp-port", show_default="5671")] = None,
    portal_port: Annotated[int | None, typer.Option("--portal-port", show_default="8080, on loopback")] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            help="Master key over the private keys of certificate authorities.",
            show_default="master.key in the data directory, made if missing",
        ),
    ] = None,
    allocation_module: Annotated[
        list[str] | None,
        typer.Option(
            "--allocation-module",
            help="package.module:function for custom allocation in this process; repeatable.",
            show_default="none",
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="A homeport.toml.", envvar="HOMEPORT_CONFIG")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="NAME=VALUE",
            help="A limit, such as registrations=1000/min or device-polls=off; repeatable. See the reference page.",
            show_default="generous",
        ),
    ] = None,
    proxy_protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--proxy-protocol",
            metavar="NETWORK",
            help="A load balancer whose connections begin with a PROXY protocol header (v1 or v2); repeatable.",
        ),
    ] = None,
    ip_filter: Annotated[
        bool | None,
        typer.Option("--ip-filter/--no-ip-filter", help="Obey the IP filter's rules, or let everybody in."),
    ] = None,
    fault_lab: Annotated[
        bool | None,
        typer.Option("--fault-lab", help="Let faults be injected, by administrators and by devices; for tests only."),
    ] = None,
    log_level: Annotated[str | None, typer.Option("--log-level", show_default="info")] = None,
) -> None:
    """Serve devices and operators until told to stop.

    Prints one line starting with `ready` when every listener accepts. Stops within seconds on SIGTERM or Ctrl-C.
    """
    options = {
        "data": data,
        "database": database,
        "bus": tuple(bus or ()),
        "bus_ca_file": bus_ca_file,
        "bind": tuple(bind or ()),
        "hostname": tuple(hostname or ()),
        "https_port": https_port,
        "mqtt_port": mqtt_port,
        "amqp_port": amqp_port,
        "portal_port": portal_port,
        "master_key_file": None if key_file is None else str(key_file),
        "allocation_module": tuple(allocation_module or ()),
        "log_level": log_level,
        "ip_filter": ip_filter,
        "fault_lab": fault_lab,
        "limits": tuple(limit or ()),
        "trusted_proxies": tuple(proxy_protocol or ()),
    }
    try:
        settings = load_config(options, file=config)
    except ConfigError as error:
        raise fail(f"the configuration cannot be used:\n{error}", code=2) from error
    logging.basicConfig(level=settings.log_level.upper(), format=_LOG_FORMAT)
    # The portal's own requests are no news.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        run(settings, announce=_announce)
    except CannotStartError as error:
        raise fail(str(error)) from error


def _announce(ready: Ready) -> None:
    err.print(f"[bold]Homeport[/]  id scope [bold]{ready.id_scope}[/]  data {ready.data}", soft_wrap=True)
    err.print(f"  provisioning  {ready.global_endpoint}", soft_wrap=True)
    for name, hosts in ready.hubs.items():
        err.print(f"  hub           {', '.join(hosts)}  [dim]{name}[/]", soft_wrap=True)
    err.print(f"  portal        {ready.portal_url}  sign in with [bold]{ready.portal_token}[/]", soft_wrap=True)
    if ready.fault_lab:
        err.print(
            "  fault lab     [bold yellow]open[/]: `homeport fault --help`; not for devices that matter",
            soft_wrap=True,
        )
    err.print(
        "  clients       `homeport connection` says what they need, `homeport trust` how they trust it", soft_wrap=True
    )
    # Standard output carries this one line, for people and for programs that wait for it.
    ports = f"https {ready.ports.https}, mqtt {ready.ports.mqtt}, amqp {ready.ports.amqp}"
    typer.echo(f"ready: {ports}, portal {ready.portal_url}")
