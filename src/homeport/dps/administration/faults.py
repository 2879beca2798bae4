"""The fault lab for administrators: start, list, look back, stop; and which hubs obey their devices' fault messages.

Each start, stop and switch stands in the audit. The faults themselves are this process's, and end with it.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from homeport.dps.journal import Journal
from homeport.dps.listing import read
from homeport.dps.model import Entry, Kind
from homeport.dps.reply import Reply, success
from homeport.dps.translate_faults import (
    MAX_SECONDS,
    MAX_SEED,
    effect_of,
    fault_document,
    given,
    injection_document,
    number,
    target_of,
)
from homeport.errors import Code, HomeportError
from homeport.faults import FaultLab, Standing
from homeport.security.callers import Caller
from homeport.wire import dps_faults as wire

MAX_TOLD: Final = 1000

CLOSED: Final = "The fault lab is closed: it opens when the server is started with --fault-lab."


class FaultHubs(Protocol):
    """The hubs that faults may be about."""

    async def names(self) -> Sequence[str]:
        """Return the names of all hubs, served here or linked."""
        ...

    async def select(self, query: str, hubs: Sequence[str] | None) -> frozenset[str]:
        """Return the devices and modules that a condition finds in hubs served here.

        Raises HomeportError INVALID_QUERY; INVALID_REQUEST if they are too many.
        """
        ...

    def obeying(self) -> Sequence[tuple[str, bool]]:
        """Return each hub served here, and whether it obeys fault injection messages."""
        ...

    async def obey(self, hub: str, *, wanted: bool) -> bool:
        """Switch that; False if there is no such hub."""
        ...


class FaultsResponder:
    """Without a `lab`, everything is 404 with the reason."""

    def __init__(self, lab: FaultLab | None, hubs: FaultHubs, journal: Journal) -> None:
        self._lab = lab
        self._hubs = hubs
        self._journal = journal

    async def list(self, tracking_id: str) -> Reply:
        lab = self._open()
        return success(200, [fault_document(each, lab.state(each)) for each in lab.all()], tracking_id)

    async def get(self, fault_id: str, tracking_id: str) -> Reply:
        lab = self._open()
        standing = lab.get(fault_id)
        if standing is None:
            raise _unknown(fault_id)
        return success(200, fault_document(standing, lab.state(standing)), tracking_id)

    async def history(self, fault_id: str | None, device_id: str | None, limit: str | None, tracking_id: str) -> Reply:
        """Answer with what was done, newest first."""
        lab = self._open()
        most = 100
        if limit is not None:
            if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MAX_TOLD):
                raise HomeportError(Code.INVALID_REQUEST, f"limit is not a whole number from 1 to {MAX_TOLD}.")
            most = int(limit)
        found = lab.history(fault_id=fault_id, device_id=device_id, limit=most)
        return success(200, [injection_document(each) for each in found], tracking_id)

    async def start(self, body: bytes, by: Caller) -> Reply:
        """Start a fault; 201 with the fault, its seed included."""
        lab = self._open()
        document = read(wire.fault_request, body)
        effect = effect_of(document)
        delay = number(document.start_in_seconds, "startInSeconds", least=0, most=MAX_SECONDS)
        duration = number(document.duration_seconds, "durationSeconds", least=0, most=MAX_SECONDS)
        probability = number(document.probability, "probability", least=0, most=1)
        seed = number(document.seed, "seed", least=0, most=MAX_SEED)
        target = target_of(document, None)
        await self._check_hubs(given(document.hubs))
        query = given(document.query)
        if query is not None:
            target = target_of(document, await self._hubs.select(query, given(document.hubs)))
        try:
            standing = lab.start(
                effect,
                target,
                delay=delay or 0.0,
                duration=duration,
                probability=1.0 if probability is None else probability,
                seed=None if seed is None else int(seed),
                query=query,
                by=by.name,
            )
        except ValueError as error:
            raise HomeportError(Code.QUOTA_EXCEEDED, f"The fault cannot be started: {error}.") from None
        try:
            await self._record(Kind.FAULT_STARTED, standing, by)
        except BaseException:
            lab.stop(standing.fault.id)
            raise
        return success(201, fault_document(standing, lab.state(standing)), by.tracking_id)

    async def stop(self, fault_id: str, by: Caller) -> Reply:
        """End a fault now; ending one that has ended is no error."""
        lab = self._open()
        if lab.get(fault_id) is None:
            raise _unknown(fault_id)
        standing = lab.stop(fault_id)
        if standing is not None:
            await self._record(Kind.FAULT_STOPPED, standing, by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)

    async def messages(self, tracking_id: str) -> Reply:
        self._open()
        told = [wire.FaultMessages(hub=hub, enabled=enabled) for hub, enabled in self._hubs.obeying()]
        return success(200, told, tracking_id)

    async def obey(self, hub: str, body: bytes, by: Caller) -> Reply:
        """Let a hub obey its devices' fault injection messages (contract hub.md 28), or not."""
        self._open()
        enabled = read(wire.fault_messages_change, body).enabled
        if not await self._hubs.obey(hub, wanted=enabled):
            raise HomeportError(Code.NOT_FOUND, f"This server serves no hub '{hub}'.")
        data = {"enabled": enabled}
        await self._journal.record([Entry(kind=Kind.FAULT_MESSAGES_SWITCHED, subject=f"hubs/{hub}", by=by, data=data)])
        return success(200, wire.FaultMessages(hub=hub, enabled=enabled), by.tracking_id)

    def _open(self) -> FaultLab:
        if self._lab is None:
            raise HomeportError(Code.NOT_FOUND, CLOSED)
        return self._lab

    async def _check_hubs(self, wanted: Sequence[str] | None) -> None:
        known = {name.lower() for name in await self._hubs.names()} if wanted else set()
        for name in wanted or ():
            if name.lower() not in known:
                raise HomeportError(Code.INVALID_REQUEST, f"The fault cannot be started: there is no hub '{name}'.")

    async def _record(self, kind: Kind, standing: Standing, by: Caller) -> None:
        fault, target = standing.fault, standing.fault.target
        data = {
            "kind": fault.kind.value,
            "description": fault.describe(),
            "at": target.place.value,
            "hubs": None if target.hubs is None else sorted(target.hubs),
            "devices": None if target.devices is None else len(target.devices),
            "prefix": target.prefix,
            "query": fault.query,
            "seed": str(fault.seed),
            "injected": standing.injected,
        }
        told = {name: value for name, value in data.items() if value is not None}
        await self._journal.record([Entry(kind=kind, subject=f"faults/{fault.id}", by=by, data=told)])


def _unknown(fault_id: str) -> HomeportError:
    return HomeportError(Code.NOT_FOUND, f"There is no fault '{fault_id[:64]}'.")
