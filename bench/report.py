"""Figures as tables for people, and as JSON to be kept."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.backends.openssl import backend
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.breakdown import Report as Breakdown
from bench.crowded_hub import Report as CrowdedHub
from bench.events import Report as Events
from bench.hub import Report as Hub
from bench.million import Report as Million
from bench.registrations import Report as Registrations
from bench.startup import Report as Startup
from bench.storm import Report as Storm
from bench.telemetry import NOTES
from bench.telemetry import Report as Telemetry
from bench.twins import Report as Twins

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What one run measured; None for a section that was left out."""

    scale: str
    registrations: Registrations | None = None
    breakdown: Breakdown | None = None
    telemetry: Telemetry | None = None
    events: Events | None = None
    hub: Hub | None = None
    storm: Storm | None = None
    startup: Startup | None = None
    crowded_hub: CrowdedHub | None = None
    twins: Twins | None = None
    million: Million | None = None


def document(results: Results) -> dict[str, Any]:
    """Return the results with what is needed to compare them; nothing that names the machine."""
    return {
        "format": FORMAT,
        "taken": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "machine": {
            "processors": os.cpu_count(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "openssl": backend.openssl_version_text(),
        },
        **asdict(results),
    }


def write(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(results), indent=1) + "\n")


def show(results: Results, console: Console) -> None:
    if results.registrations is not None:
        _show_registrations(results.registrations, console)
    if results.breakdown is not None:
        _show_breakdown(results.breakdown, console)
    if results.telemetry is not None:
        _show_telemetry(results.telemetry, console)
    if results.events is not None:
        _show_events(results.events, console)
    if results.hub is not None:
        _show_hub(results.hub, console)
    if results.storm is not None:
        _show_storm(results.storm, console)
    if results.startup is not None:
        _show_startup(results.startup, console)
    if results.crowded_hub is not None:
        _show_crowded_hub(results.crowded_hub, console)
    if results.twins is not None:
        _show_twins(results.twins, console)
    if results.million is not None:
        _show_million(results.million, console)


def _show_registrations(report: Registrations, console: Console) -> None:
    _title(f"Registrations: full TLS {report.tls} handshake each, {report.rounds} rounds of {report.count}", console)
    table = _table(
        ("proof", "work", "at once"),
        ("per s", "p50 ms", "p90 ms", "p99 ms", "server CPU ms", "x handshake", "client CPU ms"),
    )
    section = ("", 0)
    for cell in report.cells:
        if section not in {("", 0), (cell.mechanism, cell.at_once)}:
            table.add_section()
        section = (cell.mechanism, cell.at_once)
        bare = cell.work == "handshake"
        name = "bare handshake" if bare else f"register, {cell.work.upper()}"
        values = (cell.per_second, cell.p50_ms, cell.p90_ms, cell.p99_ms, cell.server_cpu_ms)
        ratio = "1" if bare else f"[bold]{cell.ratio:.2f}[/]"
        table.add_row(
            cell.mechanism, name, str(cell.at_once), *map(_number, values), ratio, _number(cell.client_cpu_ms)
        )
    console.print(table)
    engines = ", ".join(f"{name} {_number(value)} ms" for name, value in report.engine_cpu_ms.items())
    console.print(f"Of a bare handshake, OpenSSL and its binding alone: {engines}\n", style="dim")


def _show_breakdown(report: Breakdown, console: Console) -> None:
    _title(
        f"Server CPU by what is done on a connection: TLS {report.tls}, {report.at_once} at once, "
        f"{report.rounds} rounds of {report.count}",
        console,
    )
    table = _table(
        ("proof", "transport", "what"),
        ("ms", "more than before"),
    )
    kind = ("", "")
    for step in report.steps:
        if kind not in {("", ""), (step.mechanism, step.transport)}:
            table.add_section()
        kind = (step.mechanism, step.transport)
        table.add_row(step.mechanism, step.transport, step.name, _number(step.server_cpu_ms), _number(step.more_ms))
    console.print(table)
    console.print("To register again is compared with the proof: the device is known and stays.\n", style="dim")


def _show_telemetry(report: Telemetry, console: Console) -> None:
    _title(
        f"Telemetry, QoS 1, {report.payload_bytes} bytes, TLS {report.tls}: "
        f"{report.rounds} rounds of {report.seconds:g} s",
        console,
    )
    table = _table(
        ("server", "devices", "window"),
        ("per s", "p50 ms", "p90 ms", "p99 ms", "server CPU us", "client CPU us"),
    )
    server = ""
    for cell in report.cells:
        if server not in {"", cell.server}:
            table.add_section()
        server = cell.server
        values = (cell.per_second, cell.p50_ms, cell.p90_ms, cell.p99_ms, cell.server_cpu_us, cell.client_cpu_us)
        table.add_row(cell.server, str(cell.devices), str(cell.window), *map(_number, values))
    console.print(table)
    for line in NOTES if report.mosquitto else ("mosquitto is not installed: nothing to compare with",):
        console.print(line, style="dim")
    console.print()


def _show_events(report: Events, console: Console) -> None:
    _title(
        f"Events read while {report.devices} devices send {report.offered_per_second:,} messages a second, QoS 1, "
        f"{report.payload_bytes} bytes, TLS {report.tls}, for {report.seconds:g} s",
        console,
    )
    table = _table(
        ("readers", "sent"),
        ("stored per s", "PUBACK p50 ms", "p99 ms", "read", "read p50 ms", "p99 ms", "server CPU us", "client CPU us"),
    )
    for cell in report.cells:
        read = ["", "", ""]
        if cell.read_p50_ms is not None and cell.read_p99_ms is not None:
            read = [f"{cell.read:,}", _number(cell.read_p50_ms), _number(cell.read_p99_ms)]
        stored = (cell.per_second, cell.puback_p50_ms, cell.puback_p99_ms)
        cpu = (cell.server_cpu_us, cell.client_cpu_us)
        table.add_row(str(cell.readers), f"{cell.sent:,}", *map(_number, stored), *read, *map(_number, cpu))
    console.print(table)


def _show_hub(report: Hub, console: Console) -> None:
    _title(f"The hub's calls, over open connections: TLS {report.tls}, {report.rounds} rounds", console)
    table = _table(
        ("work", "at once"), ("per s", "p50 ms", "p90 ms", "p99 ms", "server CPU us", "x a read", "client CPU us")
    )
    at_once = 0
    for cell in report.cells:
        if at_once not in {0, cell.at_once}:
            table.add_section()
        at_once = cell.at_once
        values = (cell.per_second, cell.p50_ms, cell.p90_ms, cell.p99_ms, cell.server_cpu_us)
        ratio = f"[bold]{cell.ratio:.2f}[/]"
        table.add_row(cell.work, str(cell.at_once), *map(_number, values), ratio, _number(cell.client_cpu_us))
    console.print(table)


def _show_crowded_hub(report: CrowdedHub, console: Console) -> None:
    _title(f"{report.devices:,} devices connect at once over MQTT, TLS {report.tls}, and stay", console)
    table = _table(("what",), ("",))
    for name, value, unit in (
        ("until the last is in", report.storm_seconds, "s"),
        ("connections", report.per_second, "/s"),
        ("accepted, p50", report.p50_ms, "ms"),
        ("accepted, p99", report.p99_ms, "ms"),
        ("server CPU for each", report.server_cpu_ms, "ms"),
        ("bare handshake", report.handshake_cpu_ms, "ms"),
        ("ratio", report.ratio, ""),
        ("resident memory, nobody connected", report.before_mib, "MiB"),
        ("resident memory, all idle", report.idle_mib, "MiB"),
        ("for each connection", report.kib_each, "KiB"),
        ("processor, all idle", report.idle_cpu_percent, "%"),
    ):
        table.add_row(name, f"{_number(value)} {unit}")
    console.print(table)


def _show_twins(report: Twins, console: Console) -> None:
    _title(f"Queries over {report.devices:,} twins: medians of {report.rounds} rounds", console)
    table = _table(("query",), ("rows", "ms", "server CPU ms", "x SQLite alone"))
    for cell in report.cells:
        table.add_row(
            cell.query, f"{cell.rows:,}", _number(cell.ms), _number(cell.server_cpu_ms), f"[bold]{cell.ratio:.2f}[/]"
        )
    console.print(table)
    console.print(
        f"SQLite alone, looking for one tag in all of them: {_number(report.alone_ms)} ms. "
        f"The server's memory: {_number(report.before_mib)} MiB before, {_number(report.after_mib)} after.\n",
        style="dim",
    )


def _show_storm(report: Storm, console: Console) -> None:
    _title(f"Storm: {report.devices} devices at once, from {report.addresses} networks", console)
    table = _table(("what",), ("",))
    for name, value, unit in (
        ("registrations without a storm", report.peak_per_second, "/s"),
        ("registrations in the storm", report.storm_per_second, "/s"),
        ("ratio", report.ratio, ""),
        ("server CPU for each, without a storm", report.peak_cpu_ms, "ms"),
        ("server CPU for each, in the storm", report.storm_cpu_ms, "ms"),
        ("until the last device is in", report.storm_seconds, "s"),
        ("attempts", report.attempts, ""),
        ("of these told to come back (429)", report.throttled, ""),
        ("of these reset", report.reset, ""),
        ("polls for those not answered at once", report.assigning, ""),
        ("accepted, p50", report.p50_ms, "ms"),
        ("accepted, p99", report.p99_ms, "ms"),
        ("poll of a device that is in, p50", report.poll_p50_ms, "ms"),
        ("poll of a device that is in, p99", report.poll_p99_ms, "ms"),
        ("resident memory, before", report.idle_mib, "MiB"),
        ("resident memory, most", report.most_mib, "MiB"),
        ("resident memory, after", report.after_mib, "MiB"),
        ("until a registration is as quick as before", report.recovery_seconds, "s"),
    ):
        table.add_row(name, f"{_number(value)} {unit}")
    console.print(table)


def _show_startup(report: Startup, console: Console) -> None:
    _title(f"Start-up and rest: medians of {report.rounds}", console)
    table = _table(("what",), ("",))
    for name, value, unit in (
        ("an empty Python program", report.bare_python_seconds, "s"),
        ("ready, new data directory", report.fresh_seconds, "s"),
        ("ready, existing data directory", report.existing_seconds, "s"),
        ("processor time of that", report.existing_cpu_seconds, "s"),
        ("SIGTERM to end", report.stop_seconds, "s"),
        ("resident memory, idle", report.idle_mib, "MiB"),
        ("processor, idle", report.idle_cpu_percent, "%"),
    ):
        table.add_row(name, f"{_number(value)} {unit}")
    console.print(table)


def _show_million(report: Million, console: Console) -> None:
    _title(f"Among {report.large:,} devices, against {report.small:,}: medians of {report.rounds} rounds", console)
    table = _table(("store", "call"), ("ms", "ms", "x", "server CPU ms", "CPU ms", "x"))
    store = ""
    for cell in report.cells:
        if store not in {"", cell.database}:
            table.add_section()
        store = cell.database
        times = map(_number, (cell.small_ms, cell.large_ms, cell.ratio, cell.small_cpu_ms, cell.large_cpu_ms))
        table.add_row(cell.database, cell.work, *times, f"[bold]{cell.cpu_ratio:.2f}[/]")
    console.print(table)
    table = _table(("store", "devices"), ("ready after s", "CPU s", "resident MiB", "afterwards"))
    for weight in report.weights:
        numbers = map(_number, (weight.ready_seconds, weight.ready_cpu_seconds, weight.ready_mib, weight.after_mib))
        table.add_row(weight.database, f"{weight.devices:,}", *numbers)
    console.print(table)


def _title(text: str, console: Console) -> None:
    # Above the table and not in it: there it would be folded to the table's width.
    console.print(text, style="bold", highlight=False)


def _table(words: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(header_style="", box=SIMPLE_HEAD, pad_edge=False)
    for word in words:
        table.add_column(word)
    for number in numbers:
        table.add_column(number, justify="right")
    return table


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
