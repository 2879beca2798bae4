# Made by scripts/unasync.py: change its twin in _async instead.
"""One registration from the first request to the hub: ask, prove, poll, try again (contract dps.md 0, 3, 7.2)."""

import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, assert_never

from homeport.client._sync.backend import Pause, run_blocking
from homeport.client.errors import (
    ProvisioningServiceError,
    RegistrationTimeoutError,
    TransportError,
    UnauthorizedError,
    UntrustedServerError,
)
from homeport.client.registration import (
    TOKEN_LIFE,
    Answer,
    Assigned,
    Assigning,
    Challenged,
    RegistrationResult,
    TpmKeys,
    read_answer,
    register_body,
)
from homeport.client.retry import RetryPolicy
from homeport.client.security import SymmetricKeySecurityProvider, X509SecurityProvider
from homeport.client.tokens import registration_token
from homeport.client.tpm import TpmSecurityProvider
from homeport.clock import Clock

SecurityProvider = SymmetricKeySecurityProvider | X509SecurityProvider | TpmSecurityProvider

ANSWER_SECONDS = 30.0
"""How long one answer may take."""

_PASSING = frozenset({409, 429})
"""Refusals that pass: another registration of this device is under way (contract dps.md 3.7), or too many are."""

_LONG_PAUSE = 60.0
_CHALLENGES = 3
"""Another device with the same registration id, at the same time, makes a challenge void (contract dps.md 7.7)."""


def tpm_keys(provider: SecurityProvider) -> TpmKeys | None:
    """Return the public keys of a TPM, None for another credential."""
    match provider:
        case TpmSecurityProvider() as tpm:
            return TpmKeys(
                endorsement_key=tpm.endorsement_key,
                storage_root_key=tpm.storage_root_key,
                endorsement_chain=tpm.endorsement_chain,
            )
        case SymmetricKeySecurityProvider() | X509SecurityProvider():
            return None
        case _:
            assert_never(provider)


class Conversation(Protocol):
    """A transport's way to ask the two questions."""

    def register(self, body: bytes, token: str | None, *, seconds: float) -> Answer: ...

    def operation_status(self, operation_id: str, token: str | None, *, seconds: float) -> Answer: ...

    def close(self) -> None: ...


class Registration:
    """One run; `conversation` is the caller's to close."""

    def __init__(
        self,
        conversation: Conversation,
        id_scope: str,
        provider: SecurityProvider,
        *,
        retry: RetryPolicy,
        clock: Clock,
        pause: Pause,
        steady: Callable[[], float] = time.monotonic,
        timeout: float,
    ) -> None:
        self._conversation = conversation
        self._id_scope = id_scope
        self._provider = provider
        self._retry = retry
        self._clock = clock
        self._pause = pause
        self._steady = steady
        self._timeout = timeout
        self._end = steady() + timeout
        self._token: str | None = None
        self._challenges = 0

    def finish(self, payload: Any, csr: bytes | None = None) -> RegistrationResult:
        """Go on until there is a hub, or none to be hoped for. Raises as ProvisioningDeviceClient.register."""
        if isinstance(self._provider, SymmetricKeySecurityProvider):
            self._token = self._sign(self._provider)
        body = register_body(self._provider.registration_id, payload, tpm_keys(self._provider), csr)
        operation_id: str | None = None
        faults = 0
        while True:
            try:
                step = read_answer(self._ask(operation_id, body))
            except UntrustedServerError:
                raise
            except (TransportError, ProvisioningServiceError) as error:
                faults += 1
                self._wait_after(error, faults)
                continue
            faults = 0
            match step:
                case Assigned():
                    self._keep_hub_key(step)
                    return step.result
                case Assigning():
                    operation_id = step.operation_id
                    self._wait(step.wait, None)
                case Challenged():
                    self._prove(step)
                    operation_id = None
                case _:
                    assert_never(step)

    def _ask(self, operation_id: str | None, body: bytes) -> Answer:
        left = self._end - self._steady()
        if left <= 0:
            raise self._out_of_time()
        seconds = min(ANSWER_SECONDS, left)
        if operation_id is None:
            return self._conversation.register(body, self._token, seconds=seconds)
        return self._conversation.operation_status(operation_id, self._token, seconds=seconds)

    def _wait_after(self, error: TransportError | ProvisioningServiceError, faults: int) -> None:
        """Wait before the next try; raise `error` if none makes sense."""
        wait = None
        if isinstance(error, ProvisioningServiceError):
            if error.status not in _PASSING and error.status < 500:
                raise error
            wait = error.retry_after
        delay = self._retry.delay(faults, wait, random.random())  # noqa: S311  # spreads load, keeps no secret
        if delay is None:
            raise error
        self._wait(delay, error)

    def _wait(self, seconds: float, reason: Exception | None) -> None:
        if self._steady() + seconds >= self._end:
            raise self._out_of_time() from reason
        if seconds > _LONG_PAUSE:
            self._conversation.close()
        self._pause(seconds)

    def _out_of_time(self) -> RegistrationTimeoutError:
        return RegistrationTimeoutError(f"the device has no hub after {self._timeout:g} seconds")

    # --- proof ------------------------------------------------------------------------------------------------

    def _prove(self, challenge: Challenged) -> None:
        """Activate the challenge's key inside the TPM and sign with it."""
        self._challenges += 1
        if not isinstance(self._provider, TpmSecurityProvider) or self._challenges > _CHALLENGES:
            raise UnauthorizedError("the service asks for a proof that this device cannot give", status=401)
        run_blocking(self._provider.activate_identity_key, challenge.authentication_key)
        self._token = self._sign(self._provider)

    def _keep_hub_key(self, assigned: Assigned) -> None:
        if assigned.hub_key is not None and isinstance(self._provider, TpmSecurityProvider):
            run_blocking(self._provider.activate_identity_key, assigned.hub_key)

    def _sign(self, provider: SymmetricKeySecurityProvider | TpmSecurityProvider) -> str:
        # Good for the whole run, polls included.
        life = TOKEN_LIFE + timedelta(seconds=self._timeout)
        return run_blocking(
            registration_token, provider, self._id_scope, provider.registration_id, self._clock.now(), life
        )
