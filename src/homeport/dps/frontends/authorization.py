"""Who may administer: SAS tokens of the service's shared access policies, and administrators' bearer tokens.

Contract dps.md 2.4 and 2.5. What comes out is a `Caller`, who is then handed on to whatever changes things.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

from aiohttp import web
from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.admission import Admission
from homeport.errors import Code, HomeportError
from homeport.net.stream import Peer
from homeport.security.callers import Caller, CallerKind, parse_bearer
from homeport.security.policies import Denied, DpsRight, SharedAccessPolicy, authorize
from homeport.security.sas import SasError, is_for_service, parse_token
from homeport.values import replace

log = logging.getLogger(__name__)

Policies = Callable[[], Sequence[SharedAccessPolicy[DpsRight]]]
Hosts = Callable[[], Collection[str]]
FindAdministrator = Callable[[str], Awaitable[Caller | str]]
"""Returns who has a bearer token, or in words why nobody has it."""


class Asked(Struct, frozen=True, kw_only=True):
    """A request and who made it; a stranger has no rights, and `problem` says why it is one."""

    caller: Caller
    method: str
    problem: str
    take_back: Callable[[], None] | None = None
    """Undoes that the request was counted: one that is refused takes nothing from those who may."""

    def demand(self, right: DpsRight) -> None:
        """Return if the caller has the right. Raises HomeportError UNAUTHORIZED; the log says why."""
        if self.caller.may(right):
            return
        if self.take_back is not None:
            self.take_back()
        caller = self.caller
        problem = self.problem or f"{caller.kind.value} {caller.name} does not have {right.value}"
        log.info(
            "%s from %s is not authorized (tracking id %s): %s",
            self.method,
            caller.remote_address,
            caller.tracking_id,
            problem,
        )
        # Azure's clients know one word; an administrator is told more, for the token has proven who it is.
        told = f": {caller.role} {caller.name} does not have {right.value}" if caller.role else ""
        raise HomeportError(Code.UNAUTHORIZED, f"Unauthorized{told}")


class Authorization:
    """Judges a request's token. `policies` and `hosts` are asked each time, for both may change while we run."""

    def __init__(
        self,
        *,
        policies: Policies,
        hosts: Hosts,
        clock: Clock,
        admission: Admission | None = None,
        administrators: FindAdministrator | None = None,
    ) -> None:
        self._policies = policies
        self._hosts = hosts
        self._clock = clock
        self._admission = admission
        self._administrators = administrators

    async def ask(self, request: web.BaseRequest, peer: Peer, tracking_id: str) -> Asked:
        """Find out who makes the request; refuses nobody but who calls too often (HomeportError THROTTLED)."""
        take_back = self._admission.operation(address=peer.remote.host) if self._admission else None
        found = await self._caller(request.headers.get("Authorization", "").strip())
        caller = found if isinstance(found, Caller) else Caller(kind=CallerKind.STRANGER, name="")
        return Asked(
            caller=replace(caller, remote_address=str(peer.remote.host), tracking_id=tracking_id),
            method=request.method,
            problem=found if isinstance(found, str) else "",
            take_back=take_back,
        )

    async def _caller(self, text: str) -> Caller | str:
        if not text:
            return "there is no Authorization header"
        if text.partition(" ")[0].lower() == "bearer":
            token = parse_bearer(text)
            if token is None or self._administrators is None:
                return "the bearer token cannot be one of an administrator"
            return await self._administrators(token)
        try:
            sas = parse_token(text)
        except SasError as error:
            return str(error)
        hosts = self._hosts()
        verdict = authorize(
            self._policies(), sas, now=self._clock.now(), covers=lambda candidate: is_for_service(candidate, hosts)
        )
        if isinstance(verdict, Denied):
            return verdict.explanation
        return Caller(kind=CallerKind.POLICY, name=verdict.policy, rights=verdict.rights)
