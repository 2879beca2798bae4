"""`homeport monitor`: what happens at hubs and at the provisioning service, as it happens."""

import asyncio
import os
import select
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, err, fail, named_server, out, running_server
from homeport.cli.hub_access import hub_names, hub_place
from homeport.clock import SystemClock

if TYPE_CHECKING:
    from homeport.cli.monitor_filters import Filters
    from homeport.cli.monitor_lines import Happening

_QUEUED = 256
_REPLAYED = 10_000
_GLANCE = 0.5
"""Seconds after which a pipe that nobody reads any more is noticed."""


class Kind(StrEnum):
    """What can be watched."""

    TELEMETRY = "telemetry"
    TWIN = "twin"
    CONNECTION = "connection"
    DEVICE = "device"
    REGISTRATION = "registration"


class _EnoughError(Exception):
    """There is nobody to tell more."""


def monitor(
    data: DataOption = None,
    hub: Annotated[
        str | None,
        typer.Option(
            "--hub",
            envvar="HOMEPORT_HUB",
            help="Name of a hub of this server, or the connection string of any hub.",
            show_default="all of the server's",
        ),
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option("--device", "-d", help="Only these; * and ? stand for anything. Repeatable.")
    ] = None,
    kind: Annotated[
        list[Kind] | None, typer.Option("--kind", "-k", help="Only these kinds; repeatable.", show_default="all")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Only messages whose JSON says so: temperature>30. Repeatable.")
    ] = None,
    has_property: Annotated[
        list[str] | None, typer.Option("--property", help="Only messages with NAME or NAME=VALUE. Repeatable.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Messages from then on: 10m, 2h or a time.", show_default="now")
    ] = None,
    properties: Annotated[bool, typer.Option("--properties", "-p", help="Show the properties of messages.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Do not cut long lines.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Stop after so many.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Watch telemetry, twins, connections, identities and registrations, until Ctrl-C.

    With `-o json` each event is a line. Nothing that devices send is lost while it is watched; a slow reader is
    told what it missed.
    """
    from homeport.cli.monitor_filters import FilterError, read_filters, read_since
    from homeport.client import ClientError

    try:
        filters = read_filters(device or (), has_property or (), where or ())
        begin = None if since is None else read_since(since, SystemClock().now())
    except FilterError as error:
        raise fail(escape(str(error)), code=2) from error
    kinds = frozenset(kind or Kind)
    if filters.of_messages:
        kinds &= {Kind.TELEMETRY}
    teller = _Teller(output, properties=properties, full=full, limit=limit)
    try:
        asyncio.run(_watch(data, hub, kinds, filters, begin, teller))
    except KeyboardInterrupt:
        return
    except BaseExceptionGroup as group:
        reason = _first(group)
        if isinstance(reason, ClientError):
            raise fail(escape(str(reason))) from group
        if not isinstance(reason, _EnoughError):
            raise


async def _watch(
    data: Path | None,
    hub: str | None,
    kinds: frozenset[Kind],
    filters: "Filters",
    begin: datetime | None,
    teller: "_Teller",
) -> None:
    from homeport.cli.monitor_lines import Happening

    names = hub_names(hub, data) if kinds - {Kind.REGISTRATION} and not _only_service(hub, kinds) else []
    teller.hubs = len(names) > 1
    queue: asyncio.Queue[Happening] = asyncio.Queue(_QUEUED)

    async def pump(hub_name: str | None, events: AsyncIterator[Any]) -> None:
        async with aclosing(cast("AsyncGenerator[Any, None]", events)) as stream:
            async for event in stream:
                happening = Happening(hub=hub_name, event=event)
                if _wanted(happening, filters, begin):
                    await queue.put(happening)

    async with AsyncExitStack() as stack:
        sources: list[tuple[str | None, AsyncIterator[Any]]] = []
        for name in names:
            place = name if hub is None else hub
            sources.append((name, await _hub_events(place, data, kinds, filters, begin, stack)))
        if Kind.REGISTRATION in kinds and (hub is None or not hub.lower().startswith("hostname=")):
            sources.append((None, await _registrations(data, begin, stack)))
        if err.is_terminal:
            watched = ", ".join(names) or "registrations"
            err.print(f"[dim]watching {escape(watched)}; Ctrl-C ends[/]", soft_wrap=True)
        async with asyncio.TaskGroup() as tasks:
            for source in sources:
                tasks.create_task(pump(*source))
            tasks.create_task(_until_nobody_reads())
            while True:
                teller.tell(await queue.get())


def _only_service(hub: str | None, kinds: frozenset[Kind]) -> bool:
    """Tell whether only the provisioning service can be watched: of a server elsewhere, no hub is known."""
    return named_server.get() is not None and hub is None and Kind.REGISTRATION in kinds


def _wanted(happening: "Happening", filters: "Filters", begin: datetime | None) -> bool:
    from homeport.client import CloudEvent, Missed, TelemetryMessage

    event = happening.event
    if isinstance(event, Missed):
        return True
    if isinstance(event, CloudEvent) and begin is not None and event.time < begin:
        return False
    if not filters.wants(happening.device_id):
        return False
    return not isinstance(event, TelemetryMessage) or filters.wants_message(event)


async def _hub_events(
    name: str,
    data: Path | None,
    kinds: frozenset[Kind],
    filters: "Filters",
    begin: datetime | None,
    stack: AsyncExitStack,
) -> AsyncIterator[Any]:
    from homeport.client.aio import HubClient

    _, connection_string, ca_file = hub_place(name, data)
    client = await stack.enter_async_context(
        HubClient.create_from_connection_string(connection_string, ca_file=ca_file)
    )
    # One device can be chosen by the hub; patterns are looked at here.
    single = filters.devices[0] if len(filters.devices) == 1 and not set("*?[") & set(filters.devices[0]) else None
    wanted: Any = [kind.value for kind in sorted(kinds - {Kind.REGISTRATION})]
    return client.monitor(kinds=wanted, device_id=single, since=begin)


async def _registrations(data: Path | None, begin: datetime | None, stack: AsyncExitStack) -> AsyncIterator[Any]:
    from homeport.client.aio import HomeportAdminClient

    access = running_server(data)
    client = await stack.enter_async_context(
        HomeportAdminClient.create_from_connection_string(access.admin_connection_string, ca_file=access.ca_file)
    )
    return client.events(types=["device.*"], replay=0 if begin is None else _REPLAYED)


class _Teller:
    """Writes events to standard output; raises _EnoughError when nobody wants more."""

    def __init__(self, output: Output, *, properties: bool, full: bool, limit: int | None) -> None:
        self.hubs = False
        self._output = output
        self._properties = properties
        self._full = full
        self._left = limit

    def tell(self, happening: "Happening") -> None:
        from homeport.cli.monitor_lines import document, lines

        if self._output is Output.JSON:
            self._write([msgspec.json.encode(document(happening)).decode()])
        else:
            width = None if self._full or not out.is_terminal else out.width
            shown = lines(happening, hubs=self.hubs, properties=self._properties, width=width)
            with out.capture() as capture:
                for line in shown:
                    out.print(line, soft_wrap=True)
            self._write([capture.get().rstrip("\n")])
        if self._left is not None and (left := self._left - 1) >= 0:
            self._left = left
            if not left:
                raise _EnoughError

    def _write(self, texts: Sequence[str]) -> None:
        try:
            for text in texts:
                sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            _close_output()
            raise _EnoughError from None


async def _until_nobody_reads() -> None:
    """Raise _EnoughError when standard output is a pipe whose reader has gone, which writing would tell too late."""
    if not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        return
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLERR)
    while True:
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            _close_output()
            raise _EnoughError
        await asyncio.sleep(_GLANCE)


def _close_output() -> None:
    # What is left in buffers goes nowhere, so that the end of the program does not stumble over it.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
