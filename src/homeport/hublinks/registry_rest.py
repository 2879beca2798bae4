"""HubLink over any hub's registry REST API: another Homeport's, or a real Azure IoT Hub's (contract hub.md 4, 6, 25).

The calls are chosen so that repeating any of them after a lost answer does no harm.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Self, assert_never
from urllib.parse import quote

import msgspec
from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.model import (
    DeviceSpec,
    HubCredential,
    HubDevice,
    SasCredential,
    ThumbprintCredential,
    TwinContent,
    TwinWrite,
)
from homeport.dps.ports import HubRefusedError, HubUnavailableError
from homeport.net.http_client import HttpAnswer, HttpClient, HttpClientError
from homeport.security import sas
from homeport.values import hiding
from homeport.wire import hub_service as wire

API_VERSION = "2021-04-12"
TOKEN_LIFE = timedelta(hours=1)
TOKEN_MARGIN = timedelta(minutes=5)
# Taking over an identity that somebody else is changing: enough rounds to win, few enough to end.
ROUNDS = 4
NO_CERTIFICATE = "0" * 64
THROTTLED_SECONDS = 10.0
"""Azure throttles without Retry-After, and advises to wait so long (contract hub.md 22.1)."""
_NOBODY = "homeport-link-check"
"""Hardly any device has this id; one that has it is left alone."""
_NO_VERSION = '"homeport"'
"""An ETag that no identity has."""


@hiding("key")
class HubConnection(Struct, frozen=True, kw_only=True):
    """The parts of a hub's connection string."""

    host: str
    policy: str
    key: bytes

    @classmethod
    def parse(cls, connection_string: str) -> Self:
        """Read `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`; raises ValueError without repeating the key."""
        parts = dict(part.split("=", 1) for part in connection_string.strip().split(";") if "=" in part)
        try:
            host, policy, key = parts["HostName"], parts["SharedAccessKeyName"], parts["SharedAccessKey"]
        except KeyError as error:
            raise ValueError(f"the connection string has no {error.args[0]}") from None
        return cls(host=host, policy=policy, key=sas.decode_key(key))


class RegistryLink:
    """One hub, reached with a policy that may read and write its registry and twins."""

    def __init__(self, connection: HubConnection, http: HttpClient, clock: Clock) -> None:
        self._connection = connection
        self._http = http
        self._clock = clock
        self._token = ("", datetime.min.replace(tzinfo=clock.now().tzinfo))

    async def provision(self, spec: DeviceSpec) -> None:
        for _ in range(ROUNDS):
            existing = await self._device(spec.device_id)
            if existing is None:
                if await self._create(spec):
                    return
            elif await self._take_over(spec, existing):
                return
        raise HubUnavailableError(f"{self._connection.host}: the identity kept changing while it was written")

    async def read(self, device_id: str) -> HubDevice | None:
        device = await self._device(device_id)
        if device is None:
            return None
        answer = await self._call("GET", f"/twins/{quote(device_id, safe='')}")
        if answer.status == 404:
            return None
        twin = self._document(answer)
        properties = twin.get("properties") or {}
        return HubDevice(
            device_id=device_id,
            iot_edge=bool((device.get("capabilities") or {}).get("iotEdge")),
            twin=TwinContent(
                tags=twin.get("tags") or {},
                desired=_content(properties.get("desired")),
                reported=_content(properties.get("reported")),
            ),
        )

    async def remove(self, device_id: str) -> None:
        answer = await self._call("DELETE", _device_path(device_id), headers={"If-Match": "*"})
        if answer.status not in {204, 404}:
            raise self._refusal(answer)

    async def withdraw(self, device_id: str, thumbprint: str) -> None:
        for _ in range(ROUNDS):
            existing = await self._device(device_id)
            changed = None if existing is None else _without(existing, thumbprint)
            if existing is None or changed is None:
                return
            answer = await self._call(
                "PUT", _device_path(device_id), changed, headers={"If-Match": f'"{existing["etag"]}"'}
            )
            if answer.status not in {404, 412}:
                self._document(answer)
                return
        raise HubUnavailableError(f"{self._connection.host}: the identity kept changing while it was written")

    async def check(self) -> None:
        """Ask about a device that hardly exists: what is not granted is refused before that is found out."""
        for method, path, right in (
            ("GET", _device_path(_NOBODY), "RegistryRead"),
            ("DELETE", _device_path(_NOBODY), "RegistryWrite"),
            ("GET", f"/twins/{_NOBODY}", "ServiceConnect"),
        ):
            headers = {"If-Match": _NO_VERSION} if method == "DELETE" else None
            answer = await self._call(method, path, headers=headers)
            if answer.status == 401:
                reason = f"the policy {self._connection.policy} has another key there, or does not grant {right}"
                raise HubRefusedError(f"{self._refusal(answer)}: {reason}", unauthorized=True)
            if answer.status not in {200, 404, 412}:
                raise self._refusal(answer)

    async def _device(self, device_id: str) -> Mapping[str, Any] | None:
        answer = await self._call("GET", _device_path(device_id))
        return None if answer.status == 404 else self._document(answer)

    async def _create(self, spec: DeviceSpec) -> bool:
        """Create identity and twin in one call; False if the device exists by now."""
        result = await self._bulk(_creation(spec))
        if any(error.get("errorCode") in {"DeviceAlreadyExists", 409001} for error in result):
            return False
        self._no_errors(result)
        return True

    async def _take_over(self, spec: DeviceSpec, existing: Mapping[str, Any]) -> bool:
        """Write credential, capability and, if asked for, the twin of an existing device; False on a lost race."""
        changed = dict(existing) | {"authentication": msgspec.to_builtins(_authentication(spec.credential))}
        if spec.iot_edge is not None:
            changed["capabilities"] = dict(existing.get("capabilities") or {}) | {"iotEdge": spec.iot_edge}
        answer = await self._call(
            "PUT", _device_path(spec.device_id), changed, headers={"If-Match": f'"{existing["etag"]}"'}
        )
        if answer.status in {404, 412}:
            return False
        self._document(answer)
        if spec.twin_write is TwinWrite.ALWAYS:
            await self._write_twin(spec)
        return True

    async def _write_twin(self, spec: DeviceSpec) -> None:
        twin = {"tags": spec.twin.tags, "properties": {"desired": spec.twin.desired}}
        answer = await self._call("PUT", f"/twins/{quote(spec.device_id, safe='')}", twin, headers={"If-Match": '"*"'})
        written = self._document(answer)
        if spec.twin.reported is not None:
            present = _content((written.get("properties") or {}).get("reported"))
            # The only call that writes reported properties for a device (contract hub.md 25); it merges.
            patch = wire.BulkEntry(
                id=spec.device_id,
                import_mode="updateTwin",
                properties=wire.TwinPropertiesWrite(reported=_difference(present, spec.twin.reported)),
            )
            self._no_errors(await self._bulk(patch))

    async def _bulk(self, entry: wire.BulkEntry) -> list[dict[str, Any]]:
        answer = await self._call("POST", "/devices", [_without_nulls(msgspec.to_builtins(entry))])
        if answer.status not in {200, 400}:
            raise self._refusal(answer)
        try:
            document = msgspec.json.decode(answer.body)
        except msgspec.DecodeError:
            raise self._refusal(answer) from None
        if not isinstance(document, dict) or "isSuccessful" not in document:
            raise self._refusal(answer)
        errors: list[dict[str, Any]] = document.get("errors") or []
        return errors

    def _no_errors(self, errors: list[dict[str, Any]]) -> None:
        if errors:
            first = errors[0]
            raise HubRefusedError(f"{self._connection.host}: {first.get('errorCode')}: {first.get('errorStatus')}")

    async def _call(
        self, method: str, path: str, document: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        body = None if document is None else msgspec.json.encode(document)
        sent = {"Authorization": self._authorization(), **(headers or {})}
        url = f"https://{self._connection.host}{path}?api-version={API_VERSION}"
        try:
            answer = await self._http.request(method, url, headers=sent, body=body)
        except HttpClientError as error:
            raise HubUnavailableError(str(error)) from error
        if answer.status == 429 or answer.status >= 500:
            raise HubUnavailableError(
                f"{self._connection.host} answered {answer.status}{_meaning(answer)}", retry_after=_retry_after(answer)
            )
        return answer

    def _authorization(self) -> str:
        now = self._clock.now()
        token, renew_at = self._token
        if now >= renew_at:
            expiry = int((now + TOKEN_LIFE).timestamp())
            host = self._connection.host.lower()
            token = sas.sign(quote(host, safe=""), self._connection.key, expiry, self._connection.policy)
            self._token = (token, now + TOKEN_LIFE - TOKEN_MARGIN)
        return token

    def _document(self, answer: HttpAnswer) -> dict[str, Any]:
        if answer.status != 200:
            raise self._refusal(answer)
        try:
            document = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise HubRefusedError(f"{self._connection.host} answered something that is no device document")
        return document

    def _refusal(self, answer: HttpAnswer) -> HubRefusedError:
        return HubRefusedError(
            f"{self._connection.host} answered {answer.status}{_meaning(answer)}", unauthorized=answer.status == 401
        )


def _device_path(device_id: str) -> str:
    return f"/devices/{quote(device_id, safe='')}"


def _creation(spec: DeviceSpec) -> wire.BulkEntry:
    reported = None if spec.twin.reported is None else dict(spec.twin.reported)
    return wire.BulkEntry(
        id=spec.device_id,
        import_mode="create",
        status="enabled",
        authentication=_authentication(spec.credential),
        tags=dict(spec.twin.tags),
        properties=wire.TwinPropertiesWrite(desired=dict(spec.twin.desired), reported=reported),
        capabilities=wire.Capabilities(iot_edge=bool(spec.iot_edge)),
    )


def _authentication(credential: HubCredential) -> wire.Authentication:
    match credential:
        case SasCredential():
            keys = wire.SymmetricKey(
                primary_key=sas.encode_key(credential.primary_key),
                secondary_key=sas.encode_key(credential.secondary_key),
            )
            return wire.Authentication(type="sas", symmetric_key=keys)
        case ThumbprintCredential():
            thumbprints = wire.X509Thumbprint(
                primary_thumbprint=credential.primary, secondary_thumbprint=credential.secondary
            )
            return wire.Authentication(type="selfSigned", x509_thumbprint=thumbprints)
        case _:
            assert_never(credential)


def _without(device: Mapping[str, Any], thumbprint: str) -> dict[str, Any] | None:
    """Return the device without this certificate; None if it does not name it.

    One whose only certificate it was is left with a thumbprint that no certificate has: hubs want one.
    """
    authentication = device.get("authentication") or {}
    if str(authentication.get("type", "")).lower() != "selfsigned":
        return None
    named = list((authentication.get("x509Thumbprint") or {}).values())
    left = [each for each in named if isinstance(each, str) and each and each.upper() != thumbprint.upper()]
    if not any(isinstance(each, str) and each.upper() == thumbprint.upper() for each in named):
        return None
    left = left or [NO_CERTIFICATE]
    credential = ThumbprintCredential(primary=left[0], secondary=left[-1])
    return dict(device) | {"authentication": msgspec.to_builtins(_authentication(credential))}


def _content(section: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a section without what the hub added to it."""
    return {key: value for key, value in (section or {}).items() if key not in {"$metadata", "$version"}}


def _difference(present: Mapping[str, Any], wished: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that turns one section into the other."""
    patch: dict[str, Any] = dict.fromkeys(present.keys() - wished.keys())
    for key, value in wished.items():
        old = present.get(key)
        patch[key] = _difference(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return patch


def _without_nulls(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None}


def _retry_after(answer: HttpAnswer) -> float | None:
    text = answer.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit() and len(text) < 7:
        return float(text)
    return THROTTLED_SECONDS if answer.status == 429 else None


def _meaning(answer: HttpAnswer) -> str:
    """Return the error's name, where the hub tells it in a way that can be shown."""
    name = answer.headers.get("iothub-errorcode", "")
    return f" {name}" if name.isascii() and name.isalnum() and len(name) <= 64 else ""
