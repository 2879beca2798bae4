"""What administrators of the provisioning service are offered below `/homeport/hubs/{name}/` for a hub of this server.

The service's front-end carries it, the hub decides: only the roof knows both.
"""

import base64
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import UNSET, UnsetType

from homeport.clock import Clock
from homeport.dps.enrollments import parse_if_match
from homeport.dps.frontends.admin import AdminRequest, Calls
from homeport.dps.reply import Reply, success
from homeport.dps.service_responder import read
from homeport.errors import Code, HomeportError
from homeport.hub.ca_certificates import CaCertificateView
from homeport.hub.errors import HubCode, HubError
from homeport.hub.hubs import Hubs
from homeport.hub.model import QueueSettings
from homeport.hub.reply import Reply as HubReply
from homeport.hub.served_hub import ServedHub
from homeport.security.policies import DpsRight
from homeport.values import replace
from homeport.wire import format_seconds, format_time
from homeport.wire import hub_administration as wire

T = TypeVar("T")

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class HubPartsResource:
    """`hubs/{name}/certificates…`, `hubs/{name}/cloudToDevice` and `hubs/{name}/fileUpload`."""

    words = frozenset({"certificates", "cloudtodevice", "fileupload"})

    def __init__(self, hubs: Hubs, clock: Clock) -> None:
        self._hubs = hubs
        self._clock = clock

    def calls(self, request: AdminRequest) -> Calls:
        if_match = parse_if_match(request.headers.get("if-match"))
        match [*request.path[1:2], *(segment.lower() for segment in request.path[2:3]), *request.path[3:]]:
            case [hub, "certificates", *rest]:
                return self._certificates(hub, rest, request, if_match)
            case [hub, "cloudtodevice"]:
                return {
                    "GET": (_READ, lambda: self._queues(hub, request)),
                    "PUT": (_CONFIG, lambda: self._put_queues(hub, request, if_match)),
                }
            case [hub, "fileupload", word] if word.lower() == "writable":
                return {"GET": (_CONFIG, lambda: self._files(hub, request, writable=True))}
            case [hub, "fileupload"]:
                return {
                    "GET": (_CONFIG, lambda: self._files(hub, request)),
                    "PUT": (_CONFIG, lambda: self._put_files(hub, request)),
                }
            case _:
                return {}

    def _served(self, name: str) -> ServedHub:
        served = next((one for one in self._hubs if one.name.lower() == name.lower()), None)
        if served is None:
            raise HomeportError(Code.NOT_FOUND, f"This server has no hub '{name[:64]}' of its own.")
        return served

    # ---------------------------------------------------------------- CA certificates

    def _certificates(self, hub: str, rest: list[str], request: AdminRequest, if_match: str | None) -> Calls:
        match [*rest[:1], *(segment.lower() for segment in rest[1:])]:
            case []:
                return {"GET": (_READ, lambda: self._list(hub, request))}
            case [name]:
                return {
                    "GET": (_READ, lambda: self._get(hub, name, request)),
                    "PUT": (_CONFIG, lambda: self._put(hub, name, request, if_match)),
                    "DELETE": (_CONFIG, lambda: self._delete(hub, name, request, if_match)),
                }
            case [name, "generateverificationcode"]:
                return {"POST": (_CONFIG, lambda: self._new_code(hub, name, request, if_match))}
            case [name, "verify"]:
                return {"POST": (_CONFIG, lambda: self._verify(hub, name, request, if_match))}
            case _:
                return {}

    async def _list(self, hub: str, request: AdminRequest) -> Reply:
        views = await self._served(hub).ca_certificates.all()
        document = wire.CertificateList(value=[_certificate_document(view) for view in views])
        return success(200, document, request.tracking_id)

    async def _get(self, hub: str, name: str, request: AdminRequest) -> Reply:
        return _certificate(await self._served(hub).ca_certificates.get(name), request)

    async def _put(self, hub: str, name: str, request: AdminRequest, if_match: str | None) -> Reply:
        wanted = read(wire.certificate_upload, request.body).properties
        word = wanted.is_verified
        view = await self._served(hub).ca_certificates.put(
            name,
            wanted.certificate,
            is_verified=word if isinstance(word, bool) else None,
            if_match=if_match,
            by=request.caller,
        )
        return _certificate(view, request)

    async def _delete(self, hub: str, name: str, request: AdminRequest, if_match: str | None) -> Reply:
        await self._served(hub).ca_certificates.delete(name, if_match=if_match, by=request.caller)
        return Reply(status=204, body=b"", tracking_id=request.tracking_id)

    async def _new_code(self, hub: str, name: str, request: AdminRequest, if_match: str | None) -> Reply:
        view = await self._served(hub).ca_certificates.new_code(name, if_match=if_match, by=request.caller)
        return _certificate(view, request)

    async def _verify(self, hub: str, name: str, request: AdminRequest, if_match: str | None) -> Reply:
        proof = read(wire.verification, request.body).certificate
        certificates = self._served(hub).ca_certificates
        return _certificate(await certificates.verify(name, proof, if_match=if_match, by=request.caller), request)

    # ---------------------------------------------------------------- cloud-to-device messages

    async def _queues(self, hub: str, request: AdminRequest) -> Reply:
        return success(200, _queues_document(await self._served(hub).queues.get()), request.tracking_id)

    async def _put_queues(self, hub: str, request: AdminRequest, if_match: str | None) -> Reply:
        """Change the members that the body has."""
        wanted = read(wire.cloud_to_device, request.body)
        queues = self._served(hub).queues
        stored = await queues.get()
        changed = await queues.put(_changed(stored, wanted), if_match=if_match or stored.etag, by=request.caller)
        return success(200, _queues_document(changed), request.tracking_id)

    # ---------------------------------------------------------------- files of devices

    async def _files(self, hub: str, request: AdminRequest, *, writable: bool = False) -> Reply:
        served = self._served(hub)
        settings, host = served.service.file_settings, _host(served, request)
        return await _of_hub(lambda: settings.get(host, writable=writable), request)

    async def _put_files(self, hub: str, request: AdminRequest) -> Reply:
        served = self._served(hub)
        settings, host = served.service.file_settings, _host(served, request)
        return await _of_hub(lambda: settings.put(request.body, host, by=request.caller), request)


def _certificate(view: CaCertificateView, request: AdminRequest) -> Reply:
    return success(200, _certificate_document(view), request.tracking_id)


def _certificate_document(view: CaCertificateView) -> wire.Certificate:
    record, info = view.record, view.certificate.info
    return wire.Certificate(
        name=record.name,
        etag=record.etag,
        properties=wire.CertificateProperties(
            subject=info.subject_name,
            expiry=format_seconds(info.not_after),
            thumbprint=info.sha1_thumbprint,
            is_verified=record.is_verified,
            created=format_time(record.created_at),
            updated=format_time(record.updated_at),
            certificate=base64.b64encode(record.certificate).decode("ascii"),
            verification_code=record.verification_code or UNSET,
        ),
    )


def _queues_document(settings: QueueSettings) -> wire.CloudToDevice:
    feedback = settings.feedback
    return wire.CloudToDevice(
        default_ttl_as_iso8601=settings.default_life,
        max_delivery_count=settings.max_deliveries,
        lock_duration_as_iso8601=settings.lock,
        feedback=wire.Feedback(
            lock_duration_as_iso8601=feedback.lock,
            ttl_as_iso8601=feedback.life,
            max_delivery_count=feedback.max_deliveries,
        ),
        etag=settings.etag,
    )


def _changed(stored: QueueSettings, wanted: wire.CloudToDevice) -> QueueSettings:
    feedback = stored.feedback
    if isinstance(wanted.feedback, wire.Feedback):
        feedback = replace(
            feedback,
            lock=_given(wanted.feedback.lock_duration_as_iso8601, feedback.lock),
            life=_given(wanted.feedback.ttl_as_iso8601, feedback.life),
            max_deliveries=_given(wanted.feedback.max_delivery_count, feedback.max_deliveries),
        )
    return replace(
        stored,
        default_life=_given(wanted.default_ttl_as_iso8601, stored.default_life),
        lock=_given(wanted.lock_duration_as_iso8601, stored.lock),
        max_deliveries=_given(wanted.max_delivery_count, stored.max_deliveries),
        feedback=feedback,
    )


def _given(value: T | UnsetType, stored: T) -> T:
    return stored if isinstance(value, UnsetType) else value


def _host(served: ServedHub, request: AdminRequest) -> str:
    """Return the hub's name for clients, at the port by which the administrator came."""
    _, colon, port = request.headers.get("host", "").rpartition(":")
    name = served.hub.host_names[0]
    return f"{name}:{port}" if colon and port.isascii() and port.isdigit() else name


async def _of_hub(call: Callable[[], Awaitable[HubReply]], request: AdminRequest) -> Reply:
    """Answer as the hub does, in the envelope of the provisioning service."""
    try:
        reply = await call()
    except HubError as error:
        code = {
            HubCode.BODY_TOO_LARGE: Code.TOO_LARGE,
            HubCode.SERVICE_UNAVAILABLE: Code.UNAVAILABLE,
        }.get(error.code, Code.INVALID_REQUEST)
        raise HomeportError(code, error.message) from None
    return Reply(status=reply.status, body=reply.body or b"", tracking_id=request.tracking_id)
