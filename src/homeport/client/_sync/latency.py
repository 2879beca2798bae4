# Made by scripts/unasync.py: change its twin in _async instead.
"""How far the hubs are: a device asks which it could be assigned to, and times connections to them.

Homeport's own; other services answer 404, and then nothing is measured.
"""

import ssl
from datetime import timedelta

import msgspec

from homeport.client._sync.backend import connect_seconds, run_blocking
from homeport.client._sync.http import HttpSession, segment
from homeport.client._sync.register import SecurityProvider
from homeport.client.answers import decode
from homeport.client.errors import NotFoundError
from homeport.client.registration import API_VERSION, TOKEN_LIFE
from homeport.client.retry import RetryPolicy
from homeport.client.security import SymmetricKeySecurityProvider
from homeport.client.tokens import registration_token
from homeport.client.tpm import TpmSecurityProvider
from homeport.clock import Clock

PORTS = (8883, 443)
"""Where hubs listen; the first that answers is timed."""
_TRIES = 3


class _Candidates(msgspec.Struct):
    hubs: list[str]


def candidate_hubs(
    host: str,
    port: int,
    id_scope: str,
    provider: SecurityProvider,
    *,
    context: ssl.SSLContext,
    clock: Clock,
    retry: RetryPolicy,
    seconds: float,
) -> list[str]:
    """Ask which hubs the device could be assigned to; none if the service does not tell.

    Raises TypeError for a TPM, which cannot prove itself before it registers.
    """
    if isinstance(provider, TpmSecurityProvider):
        raise TypeError("a TPM device cannot ask for its hubs: it proves itself while it registers")
    headers = {}
    if isinstance(provider, SymmetricKeySecurityProvider):
        headers["Authorization"] = run_blocking(
            registration_token,
            provider,
            id_scope,
            provider.registration_id,
            clock.now(),
            TOKEN_LIFE + timedelta(seconds=seconds),
        )
    with HttpSession(
        host if port == 443 else f"{host}:{port}",
        context=context,
        timeout=seconds,
        retry=retry,
        query={"api-version": API_VERSION},
    ) as session:
        path = f"/homeport/devices/{segment(id_scope)}/{segment(provider.registration_id)}/hubs"
        try:
            response = session.send("GET", path, headers=headers, repeatable=True)
        except NotFoundError:
            return []
        return decode(response.content, _Candidates).hubs


def latency_to(host: str, *, seconds: float) -> float | None:
    """Return the shortest of a few connection times in milliseconds, None for a hub that cannot be reached."""
    for port in PORTS:
        first = connect_seconds(host, port, seconds=seconds)
        if first is None:
            continue
        shortest = first
        for _ in range(_TRIES - 1):
            again = connect_seconds(host, port, seconds=seconds)
            shortest = shortest if again is None else min(shortest, again)
        return round(shortest * 1000, 3)
    return None
