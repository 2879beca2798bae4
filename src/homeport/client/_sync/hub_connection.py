# Made by scripts/unasync.py: change its twin in _async instead.
"""Connects a registered device to its hub with Microsoft's `azure-iot-device`, which must be installed."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_never

from homeport.client._sync.backend import pause, run_blocking
from homeport.client._sync.register import SecurityProvider
from homeport.client.errors import ClientError
from homeport.client.registration import RegistrationResult
from homeport.client.security import SymmetricKeySecurityProvider, X509SecurityProvider
from homeport.client.tokens import TpmSasTokenProvider
from homeport.client.tpm import TpmSecurityProvider
from homeport.client.trust import CaFile

TOKEN_LIFE = timedelta(hours=1)

RENEWAL_MARGIN = timedelta(seconds=120)
"""How long before a token's end azure-iot-device asks for the next one."""

_RENEWAL_TRIES = 5
_RENEWAL_PAUSE = 15.0

_log = logging.getLogger(__name__)


def connect_with_azure_iot_device(
    result: RegistrationResult,
    provider: SecurityProvider,
    *,
    ca_file: CaFile = None,
    websockets: bool = False,
    token_life: timedelta = TOKEN_LIFE,
    **options: Any,
) -> Any:
    """Return an `IoTHubDeviceClient` that is connected to the device's hub and stays so.

    `result` and `provider` are those of the registration. Tokens of a TPM are signed by the TPM and renewed before
    they expire, for as long as the client lives; keep the provider open. `ca_file` (PEM) is trusted in place of the
    system's authorities. `options` go to azure-iot-device as they are (`keep_alive`, `product_info` …).

    Raises ClientError if azure-iot-device is not installed, TpmError, and what azure-iot-device raises.
    """
    client = make_azure_iot_device_client(
        result, provider, ca_file=ca_file, websockets=websockets, token_life=token_life, **options
    )
    try:
        client.connect()
    except BaseException:
        client.shutdown()
        raise
    return client


def make_azure_iot_device_client(
    result: RegistrationResult,
    provider: SecurityProvider,
    *,
    ca_file: CaFile = None,
    websockets: bool = False,
    token_life: timedelta = TOKEN_LIFE,
    **options: Any,
) -> Any:
    """Return an `IoTHubDeviceClient` like `connect_with_azure_iot_device`, not yet connected."""
    if token_life <= RENEWAL_MARGIN:
        raise ValueError(f"tokens must live longer than {RENEWAL_MARGIN.total_seconds():g} seconds")
    try:
        from azure.iot.device import IoTHubDeviceClient
    except ImportError as error:
        raise ClientError("connecting needs Microsoft's client: pip install azure-iot-device") from error
    options["websockets"] = websockets
    if ca_file is not None:
        options["server_verification_cert"] = run_blocking(_text, ca_file)
    match provider:
        case SymmetricKeySecurityProvider():
            return IoTHubDeviceClient.create_from_symmetric_key(
                symmetric_key=provider.key,
                hostname=result.assigned_hub,
                device_id=result.device_id,
                sastoken_ttl=int(token_life.total_seconds()),
                **options,
            )
        case X509SecurityProvider():
            return IoTHubDeviceClient.create_from_x509_certificate(
                x509=_certificate(provider),
                hostname=result.assigned_hub,
                device_id=result.device_id,
                **options,
            )
        case TpmSecurityProvider():
            tokens = TpmSasTokenProvider.for_result(provider, result, life=token_life)
            client = IoTHubDeviceClient.create_from_sastoken(run_blocking(tokens.token), **options)
            _renew(client, tokens)
            return client
        case _:
            assert_never(provider)


def _certificate(provider: X509SecurityProvider) -> Any:
    from azure.iot import device

    make: Any = device.X509  # it carries no types
    return make(str(provider.certificate_file), str(provider.key_file), provider.password)


def _text(file: str | Path) -> str:
    return Path(file).read_text(encoding="utf-8")


def _renew(client: Any, tokens: TpmSasTokenProvider) -> None:
    """Answer the client's calls for a new token."""

    def new_token() -> None:
        # It asks once per token: a TPM that is busy now must be asked again before the old token ends.
        for _ in range(_RENEWAL_TRIES):
            try:
                client.update_sastoken(run_blocking(tokens.token))
            except Exception:
                _log.warning("renewing the hub token failed, trying again", exc_info=True)
                pause(_RENEWAL_PAUSE)
            else:
                return
        _log.error("the hub token could not be renewed; the connection will end with it")

    client.on_new_sastoken_required = new_token
