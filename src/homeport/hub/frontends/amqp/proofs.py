"""What a client of one AMQP connection has proven: its tokens and its certificate (contract hub.md 2.6, 2.7, 15).

A token is judged when it comes (`TokenJudge`), and again for each link it is to open: keys and identities may change
while the connection lasts. How tokens travel is CBS's and SASL's business.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from homeport.clock import Clock
from homeport.hub.authentication import Audience, Reason, Refused, refused, token_end
from homeport.hub.device_side import DeviceSide
from homeport.hub.frontends.amqp.addresses import Path
from homeport.hub.identifiers import identity_id, is_identity_id, path_of
from homeport.hub.responder import DeviceClaim
from homeport.net.stream import Peer
from homeport.security import policies, sas
from homeport.security.explain import quoted
from homeport.security.policies import Denied, HubRight
from homeport.security.sas import SasError, SasToken
from homeport.values import hiding

MAX_TOKENS: Final = 1000
"""Tokens on one connection; the SDKs pool up to 995 devices on one."""

_log = logging.getLogger(__name__)


@hiding("text", "token")
class HeldToken(Struct, frozen=True, kw_only=True):
    """A genuine token, valid until `expires_at` (the clock tolerance included; None: no end)."""

    text: str
    token: SasToken
    paths: tuple[Path, ...]
    """The segments below the hub's host that it is for, in each way they may be read."""
    expires_at: datetime | None

    @property
    def key(self) -> tuple[str | None, str]:
        """What a fresh token has in common with the one that it renews."""
        return self.token.policy, self.token.raw_resource


class Granted(Struct, frozen=True, kw_only=True):
    """A token of a policy allows it."""

    policy: str
    expires_at: datetime | None


class TokenJudge:
    """Tells genuine tokens, of devices and of policies."""

    def __init__(self, side: DeviceSide) -> None:
        self._side = side

    async def judge(self, text: str, peer: Peer) -> HeldToken | Refused:
        """Judge a token by itself: form, host, signature, expiry; of a device also that it exists and is enabled.

        Tokens of policies may be signed in the hubs' way or in that of Event Hubs (contract hub.md 20.3). What they
        may do is decided when they are used. Refusals are logged.
        """
        try:
            token = sas.parse_token(text)
        except SasError as error:
            return self._logged(Refused(reason=Reason.MALFORMED, explanation=str(error)), peer)
        audience = self._side.audience()
        paths = sas.hub_paths(token, audience.hosts)
        if not paths:
            why = f"the token is for {quoted(token.resource)}, not for {quoted(audience.hosts[0])}"
            return self._logged(Refused(reason=Reason.WRONG_RESOURCE, explanation=why), peer)
        if token.policy is None:
            refusal = await self._judge_device(text, paths, peer)
        else:
            refusal = _judge_policy(audience, token, self._side.clock.now())
            refusal = refusal and self._logged(refusal, peer)
        return refusal or HeldToken(text=text, token=token, paths=paths, expires_at=token_end(token))

    async def _judge_device(self, text: str, paths: Sequence[Path], peer: Peer) -> Refused | None:
        refusal: Refused | None = None
        for path in dict.fromkeys(paths):
            identity = identity_at(path)
            if identity is None:
                why = "a token without a policy is for a device or a module"
                refusal = self._logged(Refused(reason=Reason.WRONG_RESOURCE, explanation=why), peer)
                continue
            claim = device_claim(identity, text, peer)
            verdict = await self._side.responder.authenticate(claim)
            if not isinstance(verdict, Refused):
                return None
            refusal = verdict
        return refusal

    def _logged(self, refusal: Refused, peer: Peer) -> Refused:
        _log.info(
            "hub %s: token refused (%s): %s",
            self._side.hub,
            refusal.reason,
            refusal.explanation,
            extra={
                "hub": self._side.hub,
                "reason": refusal.reason.value,
                "remote": peer.remote.host,
                "transport": transport_of(peer),
            },
        )
        return refusal


class Proofs:
    """The tokens of one connection."""

    def __init__(self, audience: Callable[[], Audience], clock: Clock) -> None:
        self._audience = audience
        self._clock = clock
        self._held: dict[tuple[str | None, str], HeldToken] = {}
        self._devices: dict[Path, HeldToken] = {}

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, held: HeldToken) -> bool:
        """Take a token in, in place of the one that it renews; False: there are too many."""
        renewed = self._held.pop(held.key, None)
        if renewed is None and len(self._held) >= MAX_TOKENS:
            return False
        self._held[held.key] = held
        if held.token.policy is None:
            self._devices.update(dict.fromkeys(held.paths, held))
        return True

    @property
    def next_end(self) -> datetime | None:
        """When the next of the tokens expires."""
        return min((held.expires_at for held in self._held.values() if held.expires_at is not None), default=None)

    def drop_expired(self) -> bool:
        """Let go of what has expired; tells whether anything has."""
        now = self._clock.now()
        over = [held for held in self._held.values() if held.expires_at is not None and held.expires_at <= now]
        for held in over:
            del self._held[held.key]
            for path in held.paths:
                if self._devices.get(path) is held:
                    del self._devices[path]
        return bool(over)

    def for_device(self, identity: str) -> HeldToken | None:
        """Return a token that may speak for a device or module: its own, or one of a policy with DeviceConnect."""
        path = path_of(identity)
        own = self._devices.get(path)
        if own is not None:
            return own
        audience = self._audience()
        able = {policy.name for policy in audience.policies if HubRight.DEVICE_CONNECT in policy.rights}
        for held in reversed(self._held.values()):
            if held.token.policy in able and sas.covers_hub_resource(held.token, audience.hosts, path):
                return held
        return None

    def for_service(self, path: Sequence[str], needed: Collection[HubRight]) -> Granted | Refused:
        """Tell whether a token of a hub's policy allows this; any one right of `needed` is enough.

        `path` is the resource below the host, decoded; `()` is the hub itself (contract hub.md 2.1, 2.3).
        """
        return self._granted(path, needed, of_event_hubs=False)

    def for_events(self, path: Sequence[str], needed: Collection[HubRight]) -> Granted | Refused:
        """Tell the same of a token in the manner of Event Hubs: the key as text, paths in any letter case (20.3)."""
        return self._granted(path, needed, of_event_hubs=True)

    def _granted(self, path: Sequence[str], needed: Collection[HubRight], *, of_event_hubs: bool) -> Granted | Refused:
        refusal = Refused(reason=Reason.NO_PROOF, explanation="there is no token of a policy on the connection")
        audience, now = self._audience(), self._clock.now()
        for held in reversed(self._held.values()):
            if held.token.policy is None:
                continue
            verdict = policies.authorize(
                audience.policies,
                held.token,
                now=now,
                covers=lambda token: sas.covers_hub_resource(token, audience.hosts, path, ignore_case=of_event_hubs),
                keys_as_text=of_event_hubs,
            )
            if isinstance(verdict, Denied):
                refusal = refused(verdict)
            elif verdict.rights.isdisjoint(needed):
                why = f"policy {quoted(verdict.policy)} lacks {' or '.join(sorted(needed))}"
                refusal = Refused(reason=Reason.MISSING_RIGHT, explanation=why)
            else:
                return Granted(policy=verdict.policy, expires_at=held.expires_at)
        return refusal


def identity_at(path: Path) -> str | None:
    """Return the identity that `devices/{d}` or `devices/{d}/modules/{m}` names; None for another path."""
    match path:
        case ("devices", device_id):
            identity = identity_id(device_id, None)
        case ("devices", device_id, "modules", module_id):
            identity = identity_id(device_id, module_id)
        case _:
            return None
    return identity if is_identity_id(identity) else None


def device_claim(identity: str, token: str | None, peer: Peer, model_id: str | None = None) -> DeviceClaim:
    """Say who wants in, for the responder."""
    return DeviceClaim(
        device_id=identity,
        token=token,
        chain=() if token else peer.chain,
        model_id=model_id,
        remote=peer.remote.host,
        transport=transport_of(peer),
    )


def transport_of(peer: Peer) -> str:
    """Name the transport for logs."""
    return "amqp" if peer.transport == "tls" else "amqp-ws"


def _judge_policy(audience: Audience, token: SasToken, now: datetime) -> Refused | None:
    denied: Denied | None = None
    for keys_as_text in (False, True):
        verdict = policies.authorize(
            audience.policies, token, now=now, covers=lambda _: True, keys_as_text=keys_as_text
        )
        if not isinstance(verdict, Denied):
            return None
        if denied is None or verdict.reason is policies.DenialReason.EXPIRED:
            denied = verdict
    return refused(denied) if denied is not None else None
