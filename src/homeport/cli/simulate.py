"""`homeport simulate`: a fleet of devices that do not exist, and how the server coped with them."""

import asyncio
import re
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.markup import escape

from homeport.app.directory import Ports
from homeport.cli.console import (
    DataOption,
    Output,
    OutputOption,
    connection_info,
    err,
    fail,
    named_server,
    out,
    running_server,
)
from homeport.cli.listing import print_json

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")

if TYPE_CHECKING:
    from homeport.client.aio import HubClient
    from homeport.simulation.device import Place
    from homeport.simulation.fleet import Fleet
    from homeport.simulation.profile import Profile


def simulate(
    profile: Annotated[str, typer.Argument(help="steady, factory-day, flapping, commands, or a YAML file.")] = "steady",
    data: DataOption = None,
    devices: Annotated[int | None, typer.Option("--devices", "-n", help="How many.", show_default="profile's")] = None,
    duration: Annotated[
        str | None, typer.Option("--duration", help="Such as 30s, 10m, 2h.", show_default="profile's")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed draws the same fleet.", show_default="chance")
    ] = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", help="How the devices' names begin.", show_default="sim- and the seed")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave enrollments, registrations and devices there.")] = False,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Where devices register.", show_default="the server's")
    ] = None,
    id_scope: Annotated[
        str | None, typer.Option("--id-scope", help="Needed with --server.", show_default="the server's")
    ] = None,
    https_port: Annotated[
        int | None, typer.Option("--https-port", min=1, max=65535, show_default="the server's")
    ] = None,
    mqtt_port: Annotated[int | None, typer.Option("--mqtt-port", min=1, max=65535, show_default="the server's")] = None,
    amqp_port: Annotated[int | None, typer.Option("--amqp-port", min=1, max=65535, show_default="the server's")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let a fleet of simulated devices enroll, register, connect, send, report and answer; say how long it took.

    Exit status 1 if a device failed. Ctrl-C ends the run early, with its report; what was enrolled is taken back.
    """
    from homeport.client import ClientError
    from homeport.simulation.fleet import Fleet
    from homeport.simulation.measures import report_document
    from homeport.simulation.profile import ProfileError

    if prefix is not None and not _PREFIX.fullmatch(prefix):
        raise fail("--prefix is 1 to 64 letters, digits and hyphens", code=2)
    try:
        wanted = _profile(profile, devices, duration)
    except ProfileError as error:
        raise fail(escape(str(error)), code=2) from error
    place = _place(data, endpoint, id_scope, https_port, mqtt_port, amqp_port)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    fleet = Fleet(wanted, place, seed=seed, prefix=prefix or f"sim-{seed}")
    begun = time.monotonic()
    try:
        asyncio.run(_run(fleet, data, keep=keep))
    except ClientError as error:
        raise fail(escape(str(error))) from error
    except BaseExceptionGroup as group:
        trouble = group.subgroup(ClientError)
        if trouble is None or group.split(ClientError)[1] is not None:
            raise
        raise fail(escape(str(_first(trouble)))) from group
    seconds = time.monotonic() - begun
    if output is Output.JSON:
        document = report_document(
            fleet.measures, devices=len(fleet.identities), seconds=seconds, seed=seed, profile=profile
        )
        print_json(document)
    else:
        from homeport.cli.simulate_report import print_report

        print_report(out, fleet, seconds=seconds, seed=seed, profile=profile, kept=keep)
    if fleet.measures.failed:
        raise typer.Exit(1)


def _profile(name: str, devices: int | None, duration: str | None) -> "Profile":
    """Return the profile with what the options change. Raises ProfileError."""
    from homeport.simulation.profile import ProfileError, Seconds, check, load_profile, seconds_of

    profile = load_profile(name)
    try:
        if devices is not None:
            profile = msgspec.structs.replace(profile, devices=devices)
        if duration is not None:
            profile = msgspec.structs.replace(profile, duration=Seconds(seconds_of(duration)))
        check(profile)
    except ValueError as error:
        raise ProfileError(str(error)) from error
    return profile


def _place(
    data: Path | None,
    endpoint: str | None,
    id_scope: str | None,
    https_port: int | None,
    mqtt_port: int | None,
    amqp_port: int | None,
) -> "Place":
    from homeport.simulation.device import Place

    access = running_server(data)
    authority = access.admin_connection_string.partition(";")[0].partition("=")[2]
    host, colon, port = authority.rpartition(":")
    host, ports = (host, Ports(https=int(port))) if colon and port.isdigit() else (authority, Ports())
    if named_server.get() is None:
        info = connection_info(data)
        host, ports, id_scope = info.global_endpoint, info.ports, id_scope or info.id_scope
    elif id_scope is None:
        raise fail("a server that is named with --server does not tell its id scope: give --id-scope", code=2)
    return Place(
        endpoint=endpoint or host,
        id_scope=id_scope,
        ca_file=None if access.ca_file is None else str(access.ca_file),
        https_port=https_port or ports.https,
        mqtt_port=mqtt_port or ports.mqtt,
        amqp_port=amqp_port or ports.amqp,
    )


async def _run(fleet: "Fleet", data: Path | None, *, keep: bool) -> None:
    from homeport.cli.simulate_report import progress
    from homeport.client.aio import ProvisioningServiceClient

    access = running_server(data)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)  # a second time ends the program where it is

    loop.add_signal_handler(signal.SIGINT, interrupted)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeport-simulate-")))
        service = await stack.enter_async_context(
            ProvisioningServiceClient.create_from_connection_string(
                access.admin_connection_string, ca_file=access.ca_file
            )
        )
        hubs = await stack.enter_async_context(_hubs(data))
        tick = stack.enter_context(progress(err, fleet))
        await fleet.run(service, hubs, folder, keep=keep, tick=tick, stop=stop)


@asynccontextmanager
async def _hubs(data: Path | None) -> AsyncIterator[dict[str, "HubClient"]]:
    """Give clients of the server's hubs, by host name; none for a server elsewhere."""
    from homeport.client.aio import HubClient

    async with AsyncExitStack() as stack:
        clients: dict[str, HubClient] = {}
        if named_server.get() is None:
            info = connection_info(data)
            for connection_string in info.hub_connection_strings.values():
                client = HubClient.create_from_connection_string(connection_string, ca_file=info.ca_file)
                clients[client.host_name] = await stack.enter_async_context(client)
        yield clients


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
