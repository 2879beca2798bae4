"""SAS tokens of devices, signed wherever their key lives (contract dps.md 2.2, hub.md 2.3)."""

from datetime import datetime, timedelta
from typing import Protocol

from homeport.client.registration import RegistrationResult
from homeport.clock import Clock, SystemClock
from homeport.security.sas import encode_resource, format_token, string_to_sign


class Signer(Protocol):
    """Something that holds a key and never shows it."""

    def sign(self, data: bytes) -> bytes:
        """Return the HMAC-SHA256 of `data`; may block."""
        ...


def registration_token(signer: Signer, id_scope: str, registration_id: str, now: datetime, life: timedelta) -> str:
    """Sign a device's token for the provisioning service; may block."""
    return _token(signer, f"{id_scope}/registrations/{registration_id}", now, life, policy="registration")


def device_token(signer: Signer, hub: str, device_id: str, now: datetime, life: timedelta) -> str:
    """Sign a device's token for its hub; may block."""
    return _token(signer, f"{hub}/devices/{device_id}", now, life, policy=None)


def _token(signer: Signer, resource: str, now: datetime, life: timedelta, *, policy: str | None) -> str:
    encoded = encode_resource(resource)
    expiry = int((now + life).timestamp())
    return format_token(encoded, signer.sign(string_to_sign(encoded, expiry)), expiry, policy)


class TpmSasTokenProvider:
    """Makes the tokens with which a registered TPM device proves itself to its hub (contract dps.md 7.6)."""

    def __init__(
        self,
        provider: Signer,
        hub: str,
        device_id: str,
        *,
        life: timedelta = timedelta(hours=1),
        clock: Clock | None = None,
    ) -> None:
        """Sign with `provider`, whose TPM holds the hub key since it registered."""
        self._provider = provider
        self._hub = hub
        self._device_id = device_id
        self._life = life
        self._clock = clock or SystemClock()

    @classmethod
    def for_result(
        cls, provider: Signer, result: RegistrationResult, *, life: timedelta = timedelta(hours=1)
    ) -> "TpmSasTokenProvider":
        """Make tokens for the hub that a registration found."""
        return cls(provider, result.assigned_hub, result.device_id, life=life)

    def token(self) -> str:
        """Return a fresh token; blocks while the TPM signs. Raises TpmError."""
        return device_token(self._provider, self._hub, self._device_id, self._clock.now(), self._life)
