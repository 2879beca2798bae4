"""Queries over very many twins, next to what the database alone takes to look at the same rows."""

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench import crowd
from bench.devices import Service
from bench.figures import median, significant
from bench.hub import HubKeys
from bench.processes import memory_mib, settled_cpu_seconds
from bench.server import ServerUnderTest
from homeport.store.database import Value

_SITES = 100
_SITE, _SERIAL, _LEVEL = "crowd-site", 424242, 313131
"""What stands in the model's twin where others have something of their own."""
_ALONE = "SELECT count(*) FROM devices WHERE json_extract(twin, '$.tags.serial') = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    devices: int = 100_000
    rounds: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One query, all its pages: medians of the rounds."""

    query: str
    rows: int
    ms: float
    server_cpu_ms: float
    ratio: float
    """Of its time to `alone_ms`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    devices: int
    rounds: int
    alone_ms: float
    """SQLite itself looks for a tag in all the twins, in a process of its own."""
    cells: tuple[Cell, ...]
    before_mib: float
    after_mib: float


QUERIES = (
    ("one device by its id", "SELECT * FROM devices WHERE deviceId = '{name}'", None),
    ("the first hundred", "SELECT * FROM devices", "100"),
    ("one by a tag", "SELECT * FROM devices WHERE tags.serial = {number}", None),
    ("a hundredth by a tag", "SELECT deviceId, tags.serial FROM devices WHERE tags.site = 'site-7'", None),
    ("a tenth by a reported number", "SELECT deviceId FROM devices WHERE properties.reported.level >= 90", None),
    ("how many", "SELECT COUNT() AS n FROM devices", None),
    ("how many in each group", "SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site", None),
)


def measure(folder: Path, plan: Plan, say: Callable[[str], None]) -> Report:
    """Fill a hub, start a server over it, and ask."""
    server = ServerUnderTest(folder / "twins")
    with server:
        service, connection_string = server.service(), server.connection()["HOMEPORT_HUB_CONNECTION_STRING"]
        _make_model(service, HubKeys(service, connection_string))
        server.stop()
    store = str(folder / "twins" / "homeport.db")
    crowd.fill(store, plan.devices, say, tables=("devices",), vary=_vary)
    say(f"twins: SQLite alone among {plan.devices:,}")
    alone = median([_alone(store, plan.devices) for _ in range(plan.rounds)])
    with server:
        service = server.service()
        keys = HubKeys(service, connection_string)
        settled_cpu_seconds(server.pid, limit=3.0)
        before = memory_mib(server.pid)
        with _client(service, keys) as http:
            cells = [_cell(http, server.pid, plan, alone, query, say) for query in QUERIES]
        after = memory_mib(server.pid)
        server.stop()
    return Report(
        devices=plan.devices,
        rounds=plan.rounds,
        alone_ms=alone,
        cells=tuple(cells),
        before_mib=significant(before),
        after_mib=significant(after),
    )


def _client(service: Service, keys: HubKeys) -> httpx.Client:
    return httpx.Client(
        base_url=f"https://{service.https[0]}:{service.https[1]}",
        params={"api-version": "2021-04-12"},
        headers={"Authorization": keys.token, "Host": keys.host},
        verify=False,
        timeout=300,
    )


def _make_model(service: Service, keys: HubKeys) -> None:
    """Make the device that is copied, with a twin of some size."""
    twin = {"tags": {"site": _SITE, "serial": _SERIAL, "owner": {"name": "somebody", "floor": 3}}}
    desired = {"interval": 30, "mode": "normal", "limits": {"low": 1.5, "high": 99.5}}
    with _client(service, keys) as http:
        for method, path, body in (
            ("PUT", f"/devices/{crowd.MODEL}", {"deviceId": crowd.MODEL}),
            ("PATCH", f"/twins/{crowd.MODEL}", {**twin, "properties": {"desired": desired}}),
            (
                "POST",
                "/devices",
                [
                    {
                        "id": crowd.MODEL,
                        "importMode": "updateTwin",
                        "properties": {"reported": {"level": _LEVEL, "firmware": "1.4.2"}},
                    }
                ],
            ),
        ):
            answer = http.request(method, path, json=body)
            if answer.status_code != 200:
                raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")


def _vary(number: int, row: dict[str, Value]) -> dict[str, Value]:
    twin, reported = row["twin"], row["reported"]
    assert isinstance(twin, str)
    assert isinstance(reported, str)
    twin = twin.replace(_SITE, f"site-{number % _SITES}").replace(str(_SERIAL), str(number))
    return {**row, "twin": twin, "reported": reported.replace(str(_LEVEL), str(number % 100))}


def _alone(store: str, count: int) -> float:
    database = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    began = time.perf_counter()
    found = database.execute(_ALONE, (count // 2,)).fetchone()
    took = time.perf_counter() - began
    database.close()
    if found != (1,):
        raise RuntimeError(f"the crowd is not as it should be: {found}")
    return took * 1000


def _cell(
    http: httpx.Client,
    pid: int,
    plan: Plan,
    alone: float,
    query: tuple[str, str, str | None],
    say: Callable[[str], None],
) -> Cell:
    name, text, page = query
    text = text.format(name=crowd.name(plan.devices // 2), number=plan.devices // 2)
    took, used, rows = [], [], 0
    for number in range(plan.rounds + 1):
        say(f"twins: {name}, round {number} of {plan.rounds}")
        before = settled_cpu_seconds(pid)
        began = time.perf_counter()
        rows = len(_pages(http, text, page))
        seconds = time.perf_counter() - began
        spent = settled_cpu_seconds(pid) - before
        if number or not plan.rounds:  # the first warms up
            took.append(seconds * 1000)
            used.append(spent * 1000)
    return Cell(
        query=name, rows=rows, ms=median(took), server_cpu_ms=median(used), ratio=significant(median(took) / alone)
    )


def _pages(http: httpx.Client, text: str, page: str | None) -> Sequence[object]:
    """Return all rows, or with `page` those of the first page of that size."""
    rows: list[object] = []
    headers = {"x-ms-max-item-count": page or "1000"}
    while True:
        answer = http.post("/devices/query", json={"query": text}, headers=headers)
        if answer.status_code != 200:
            raise RuntimeError(f"{text}: {answer.status_code} {answer.text}")
        rows += json.loads(answer.content)
        more = answer.headers.get("x-ms-continuation")
        if page is not None or more is None:
            return rows
        headers["x-ms-continuation"] = more
