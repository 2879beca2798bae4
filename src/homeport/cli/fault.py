"""`homeport fault …`: what is to go wrong, for whom and when; for servers started with `--fault-lab`."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, err, fail, out
from homeport.cli.listing import plain_table, print_json

if TYPE_CHECKING:
    from homeport.client import Fault, HomeportAdminClient

app = typer.Typer(
    help="Fault lab: let things go wrong for chosen devices and hubs, repeatably. Needs `homeport serve --fault-lab`.",
    no_args_is_help=True,
    add_completion=False,
)


class Place(StrEnum):
    HUB = "hub"
    PROVISIONING = "provisioning"


class Side(StrEnum):
    DEVICES = "devices"
    PROVISIONING = "provisioning"


Devices = Annotated[list[str] | None, typer.Option("--device", help="Id of a device that is meant; repeatable.")]
Prefix = Annotated[str | None, typer.Option("--prefix", help="Devices whose ids begin so.")]
Query = Annotated[
    str | None, typer.Option("--query", help="Devices that this condition over twins finds now, such as tags.line = 1.")
]
Hubs = Annotated[list[str] | None, typer.Option("--hub", help="Only at this hub; repeatable.")]
Everybody = Annotated[bool, typer.Option("--all", help="All devices are meant.")]
At = Annotated[Place, typer.Option("--at", help="Where devices meet it.")]
Start = Annotated[float | None, typer.Option("--in", min=0, help="Begin after so many seconds.", show_default="now")]
Duration = Annotated[
    float | None, typer.Option("--for", min=0, help="Last so many seconds.", show_default="until stopped")
]
Probability = Annotated[
    float | None, typer.Option("--probability", min=0, max=1, help="How likely each time.", show_default="1")
]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Decide as a fault with this seed did.", show_default="a new one")
]


@app.command("drop")
def drop(
    device: Devices = None,
    prefix: Prefix = None,
    query: Query = None,
    hub: Hubs = None,
    everybody: Everybody = False,
    every: Annotated[
        float | None,
        typer.Option("--every", min=1, help="Again and again, after so many seconds.", show_default="once"),
    ] = None,
    orderly: Annotated[
        bool, typer.Option("--orderly", help="Close in order; without, connections end as if a cable was cut.")
    ] = False,
    start: Start = None,
    duration: Duration = None,
    probability: Probability = None,
    seed: Seed = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Cut the open connections of devices at their hub."""
    whom = _whom(device, prefix, query, hub, everybody, start, duration, probability, seed)
    _begin(data, output, lambda client: client.start_drop(interval=every, orderly=orderly, **whom))


@app.command("latency")
def latency(
    least: Annotated[
        float, typer.Argument(min=0, max=600_000, metavar="MS", help="Milliseconds that answers are late.")
    ],
    most: Annotated[
        float | None, typer.Argument(min=0, max=600_000, metavar="[UP_TO]", help="Between MS and so many.")
    ] = None,
    at: At = Place.HUB,
    device: Devices = None,
    prefix: Prefix = None,
    query: Query = None,
    hub: Hubs = None,
    everybody: Everybody = False,
    start: Start = None,
    duration: Duration = None,
    probability: Probability = None,
    seed: Seed = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let devices wait for what they ask."""
    whom = _whom(device, prefix, query, hub, everybody, start, duration, probability, seed)
    _begin(data, output, lambda client: client.start_latency(least, most, at=at.value, **whom))


@app.command("throttle")
def throttle(
    at: At = Place.HUB,
    retry_after: Annotated[
        int | None, typer.Option("--retry-after", min=1, max=3600, help="Seconds devices are told to wait.")
    ] = None,
    device: Devices = None,
    prefix: Prefix = None,
    query: Query = None,
    hub: Hubs = None,
    everybody: Everybody = False,
    start: Start = None,
    duration: Duration = None,
    probability: Probability = None,
    seed: Seed = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Refuse what devices ask with 429; over MQTT, connections end for telemetry."""
    whom = _whom(device, prefix, query, hub, everybody, start, duration, probability, seed)
    _begin(data, output, lambda client: client.start_throttling(retry_after=retry_after, at=at.value, **whom))


@app.command("error")
def error(
    at: At = Place.HUB,
    status: Annotated[int, typer.Option("--status", help="500 or 503.")] = 503,
    device: Devices = None,
    prefix: Prefix = None,
    query: Query = None,
    hub: Hubs = None,
    everybody: Everybody = False,
    start: Start = None,
    duration: Duration = None,
    probability: Probability = None,
    seed: Seed = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let what devices ask fail, as if the server were at fault."""
    whom = _whom(device, prefix, query, hub, everybody, start, duration, probability, seed)
    _begin(data, output, lambda client: client.start_errors(status=status, at=at.value, **whom))


@app.command("clock", context_settings={"ignore_unknown_options": True})
def clock(
    shift: Annotated[float, typer.Argument(metavar="SECONDS", help="How wrong the clock is; negative is slow.")],
    at: At = Place.HUB,
    device: Devices = None,
    prefix: Prefix = None,
    query: Query = None,
    hub: Hubs = None,
    everybody: Everybody = False,
    start: Start = None,
    duration: Duration = None,
    probability: Probability = None,
    seed: Seed = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Judge tokens and certificates of devices by a clock that goes wrong."""
    whom = _whom(device, prefix, query, hub, everybody, start, duration, probability, seed)
    _begin(data, output, lambda client: client.start_clock_shift(shift, at=at.value, **whom))


@app.command("outage")
def outage(
    hub: Hubs = None,
    everybody: Annotated[bool, typer.Option("--all", help="All hubs are meant.")] = False,
    status: Annotated[int, typer.Option("--status", help="What devices get: 404, 500 or 503.")] = 503,
    only: Annotated[
        Side | None,
        typer.Option("--only", help="Only devices, or only provisioning, find it out.", show_default="both"),
    ] = None,
    device: Devices = None,
    prefix: Prefix = None,
    start: Start = None,
    duration: Duration = None,
    probability: Probability = None,
    seed: Seed = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let hubs be out: connections end, devices are refused, provisioning cannot reach them."""
    if not hub and not everybody:
        raise fail("name hubs with --hub, or mean all of them with --all", code=2)
    whom = _whom(device, prefix, None, hub, True, start, duration, probability, seed)
    sides = None if only is None else [only.value]
    _begin(data, output, lambda client: client.start_outage(status=status, sides=sides, **whom))


@app.command("list")
def list_faults(data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List faults that wait or are active, then the last that have ended."""
    with admin(data) as client:
        faults = client.faults()
    if output is Output.JSON:
        print_json(faults)
        return
    if not faults:
        err.print("Nothing goes wrong, and nothing did.")
        return
    table = plain_table("", "state", "what", "for whom", "seed", "until", "times")
    for fault in faults:
        ends = fault.ends_date_time_utc
        table.add_row(
            fault.id,
            f"[{_COLOURS.get(fault.state, 'default')}]{fault.state}[/]",
            escape(fault.description) + (f", p {fault.probability:g}" if fault.probability < 1 else ""),
            escape(_meant(fault)),
            str(fault.seed),
            f"{ends:%H:%M:%S}Z" if ends else "stopped",
            str(fault.injected),
        )
    out.print(table)


@app.command("stop")
def stop(
    fault: Annotated[list[str] | None, typer.Argument(help="Ids of faults, such as f-1.", metavar="[ID]...")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Whatever waits or is active.")] = False,
    data: DataOption = None,
) -> None:
    """End faults now."""
    if bool(fault) == everything:
        raise fail("name faults, or say --all", code=2)
    with admin(data) as client:
        ids = fault or [each.id for each in client.faults() if each.state != "ended"]
        for each in ids:
            client.stop_fault(each)
            out.print(f"[bold]{escape(each)}[/] has ended.")
    if not ids:
        err.print("Nothing was going wrong.")


@app.command("history")
def history(
    fault: Annotated[str | None, typer.Option("--fault", help="Only what this fault did.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Only what was done to this device.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, the newest.")] = 100,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say what was done to whom, and when; the newest last, in JSON first."""
    with admin(data) as client:
        told = client.fault_history(fault_id=fault, device_id=device, limit=limit)
    if output is Output.JSON:
        print_json(told)
        return
    if not told:
        err.print("Nothing was done to anybody.")
        return
    table = plain_table("when", "fault", "device", "at", "during", "what")
    for each in reversed(told):
        table.add_row(
            f"{each.date_time_utc:%H:%M:%S.%f}"[:-3] + "Z",
            each.fault_id or "its own",
            escape(each.device_id or ""),
            escape(each.hub or "provisioning"),
            f"{each.point} {each.transport or ''}".rstrip(),
            escape(each.detail),
        )
    out.print(table)


_COLOURS = {"active": "yellow", "waiting": "cyan", "ended": "dim"}


def _whom(
    devices: Sequence[str] | None,
    prefix: str | None,
    query: str | None,
    hubs: Sequence[str] | None,
    everybody: bool,
    start: float | None,
    duration: float | None,
    probability: float | None,
    seed: int | None,
) -> dict[str, Any]:
    """Gather who is meant and when; a fault for everybody needs the word."""
    if not (devices or prefix or query or everybody):
        raise fail("say who is meant: --device, --prefix or --query; or --all", code=2)
    return {
        "devices": devices or None,
        "prefix": prefix,
        "query": query,
        "hubs": hubs or None,
        "start": start,
        "duration": duration,
        "probability": probability,
        "seed": seed,
    }


def _begin(data: Any, output: Output, start: "Callable[[HomeportAdminClient], Fault]") -> None:
    with admin(data) as client:
        fault = start(client)
    if output is Output.JSON:
        print_json(fault)
        return
    what = f"Fault [bold]{fault.id}[/]: {escape(fault.description)}, for {escape(_meant(fault))}"
    if fault.state == "ended":
        out.print(f"{what}: done, {fault.injected} times. Seed {fault.seed}.", soft_wrap=True)
        return
    begins = f"from {fault.starts_date_time_utc:%H:%M:%S}Z on" if fault.state == "waiting" else "from now on"
    ends = f"until {fault.ends_date_time_utc:%H:%M:%S}Z" if fault.ends_date_time_utc else "until it is stopped"
    out.print(f"{what}, {begins}, {ends}. Seed {fault.seed}.", soft_wrap=True)


def _meant(fault: "Fault") -> str:
    place = "at provisioning" if fault.at == "provisioning" else f"at {', '.join(fault.hubs)}" if fault.hubs else ""
    if fault.devices is not None:
        names, more = ", ".join(fault.devices[:3]), (fault.device_count or 0) - 3
        who = f"{names} and {more} more" if more > 0 else names or "nobody"
    elif fault.kind == "outage":
        return ", ".join(fault.hubs) if fault.hubs else "all hubs"
    else:
        who = "everybody"
    if fault.prefix is not None:
        who = f"{fault.prefix}*" if fault.devices is None else f"{who} that begin with {fault.prefix}"
    return f"{who} {place}".strip()
