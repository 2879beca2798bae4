"""The links of devices: who they are for, and whether that identity may (contract hub.md 16.1, 16.7).

Several devices may share a connection. Each has a session of its own here, from its first link to its last: what ends
one, a newer connection of the same device for example, leaves the others alone.
"""

import asyncio
from datetime import datetime
from typing import Final

from homeport.hub.authentication import Refused
from homeport.hub.device_side import DeviceSide
from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.amqp.addresses import Path
from homeport.hub.frontends.amqp.connection import HubConnection, LinkHandler
from homeport.hub.frontends.amqp.device_addresses import Kind, is_of_devices, read_device_path
from homeport.hub.frontends.amqp.device_session import DeviceSession
from homeport.hub.frontends.amqp.errors import forced, link_error, unauthorized
from homeport.hub.frontends.amqp.faults import ConnectionFaults
from homeport.hub.frontends.amqp.proofs import device_claim
from homeport.net.amqp_handlers import AmqpDelivery, AmqpReceiver, AmqpSender, LinkTerms
from homeport.proto.amqp import Error
from homeport.security.ip_filter import Door

_MODEL_ID: Final = "com.microsoft:model-id"


class DeviceSpace:
    """The addresses below `devices` (an AddressSpace)."""

    door: Door | None = Door.DEVICES

    def __init__(self, side: DeviceSide) -> None:
        self._side = side

    def owns(self, path: Path) -> bool:
        return is_of_devices(path)

    def join(self, connection: HubConnection) -> LinkHandler:
        return DeviceLinks(self._side, connection)


class DeviceLinks:
    """The devices on one connection."""

    def __init__(self, side: DeviceSide, connection: HubConnection) -> None:
        self._side = side
        self._connection = connection
        self._devices: dict[str, DeviceSession] = {}
        self._by_link: dict[AmqpReceiver | AmqpSender, DeviceSession] = {}
        self._leaving: set[DeviceSession] = set()
        self._faults = None
        if side.faults is not None:
            self._faults = ConnectionFaults(connection, side.faults, side.clock, self._devices.get)

    @property
    def active(self) -> bool:
        return bool(self._devices)

    async def attach_receiver(self, link: AmqpReceiver, path: Path) -> LinkTerms | Error:
        found = await self._enter(link, path)
        if isinstance(found, Error):
            return found
        device, kind = found
        try:
            terms = device.attach_receiver(link, kind)
            self._by_link[link] = device
        finally:
            self._look_after(device)
        return terms

    async def attach_sender(self, link: AmqpSender, path: Path) -> LinkTerms | Error:
        found = await self._enter(link, path)
        if isinstance(found, Error):
            return found
        device, kind = found
        try:
            terms = device.attach_sender(link, kind)
            self._by_link[link] = device
        finally:
            self._look_after(device)
        return terms

    async def message(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        await self._by_link[link].message(link, delivery)

    def flow(self, link: AmqpSender, *, drain: bool) -> None:
        del drain  # what is not used in this call goes back: messages come from the store, later
        self._by_link[link].flow(link)

    async def detached(self, link: AmqpReceiver | AmqpSender, error: Error | None) -> None:
        del error
        device = self._by_link.pop(link, None)
        if device is not None:
            device.dropped(link)
            self._look_after(device)

    async def review(self) -> None:
        """Let devices go on with renewed tokens, and end those whose tokens or certificates are over."""
        now = self._side.clock.now()
        for device in tuple(self._devices.values()):
            held = self._connection.proofs.for_device(device.identity)
            if device.ended:
                continue
            if held is device.held:
                ends = _certificate_end(device)
                if ends is not None and ends <= now:
                    self._end(device, unauthorized("The certificate has expired."))
                self._watch(device)
                continue
            if held is None:
                self._end(device, unauthorized("The token has expired."))
                continue
            if not await self._renew(device, model_id=device.model_id):
                self._end(device, unauthorized("The token was refused."))

    async def closed(self) -> None:
        devices = {*self._devices.values(), *self._leaving}
        self._devices.clear()
        await asyncio.gather(*(device.close() for device in devices))

    # ------------------------------------------------------------ coming and going

    async def _enter(self, link: AmqpReceiver | AmqpSender, path: Path) -> tuple[DeviceSession, Kind] | Error:
        """Find the device of a link, or let it in."""
        named = read_device_path(path)
        if named is None:
            return link_error(HubError(HubCode.OPERATION_NOT_FOUND, "There is no such address of a device."))
        identities, kind = named
        model_id = _model_id(link)
        for identity in identities:
            device = self._devices.get(identity)
            if device is not None:
                if model_id and device.model_id is None and not await self._renew(device, model_id=model_id):
                    self._end(device, unauthorized("Unauthorized"))
                    break
                return device, kind
        for identity in identities:
            device = await self._open(identity, model_id)
            if device is not None:
                return device, kind
        return unauthorized("Unauthorized")

    async def _open(self, identity: str, model_id: str | None) -> DeviceSession | None:
        held = self._connection.proofs.for_device(identity)
        device = DeviceSession(
            self._connection, self._side, identity, held, model_id, self._ended, self._detach, self._faults
        )
        claim = device_claim(identity, held.text if held is not None else None, self._connection.peer, model_id)
        connected = await self._side.responder.connect(claim, device.end, lambda orderly: self._cut(device, orderly))
        if isinstance(connected, Refused):
            return None
        device.connected = connected
        if device.ended:
            await self._side.responder.leave(connected)
            return None
        self._devices[identity] = device
        self._watch(device)
        return device

    async def _renew(self, device: DeviceSession, *, model_id: str | None) -> bool:
        """Judge a device again, by the token there is now."""
        held = self._connection.proofs.for_device(device.identity)
        claim = device_claim(device.identity, held.text if held else None, self._connection.peer, model_id)
        renewed = await self._side.responder.renew(device.connected, claim)
        if isinstance(renewed, Refused):
            return False
        device.connected, device.held, device.model_id = renewed, held, model_id
        self._watch(device)
        return True

    def _watch(self, device: DeviceSession) -> None:
        """Have a device reviewed when its certificate runs out."""
        ends = _certificate_end(device)
        if ends is not None and not device.ended:
            self._connection.review_at(ends)

    def _ended(self, device: DeviceSession) -> None:
        """Learn that the hub has ended a session: displaced, disabled, deleted, other keys."""
        if self._devices.get(device.identity) is not device:
            return  # still being opened
        if device.connected.session.displaced:
            error = link_error(HubError(HubCode.DISPLACED, "The device opened a new connection."))
        else:
            error = unauthorized("The device was disabled, deleted or given other credentials.")
        self._end(device, error)

    def _cut(self, device: DeviceSession, orderly: bool) -> None:
        """End a device's links, or the whole connection, as cutting the cable would: for the fault lab."""
        if self._devices.get(device.identity) is not device:
            return
        if orderly:
            self._end(device, forced("The connection was closed by the fault lab."))
        else:
            self._connection.abort()

    def _end(self, device: DeviceSession, error: Error) -> None:
        """End all links of a device, and its session."""
        device.ended = True
        for link in tuple(device.links):
            device.detach(link, error)
        self._look_after(device)

    def _detach(self, link: AmqpReceiver | AmqpSender, error: Error) -> None:
        """End a link that its session has let go of."""
        device = self._by_link.pop(link, None)
        self._connection.detach(link, error)
        if device is not None:
            self._look_after(device)

    def _look_after(self, device: DeviceSession) -> None:
        """End the session of a device without links."""
        if not device.links and self._devices.get(device.identity) is device:
            del self._devices[device.identity]
            self._leaving.add(device)
            self._connection.run(self._leave(device))

    async def _leave(self, device: DeviceSession) -> None:
        await device.close()
        self._leaving.discard(device)


def _certificate_end(device: DeviceSession) -> datetime | None:
    """Tell when the certificate runs out by which a device came in; None for those with a token."""
    return device.connected.session.expires_at if device.held is None else None


def _model_id(link: AmqpReceiver | AmqpSender) -> str | None:
    value = (link.attached.properties or {}).get(_MODEL_ID)
    return str(value) if isinstance(value, str) and value else None
