"""Who may administer: SAS tokens of the provisioning service's shared access policies (contract dps.md 2.4, 2.5)."""

import logging
from collections.abc import Callable, Collection, Sequence

from aiohttp import web

from homeport.clock import Clock
from homeport.dps.admission import Admission
from homeport.errors import Code, HomeportError
from homeport.net.stream import Peer
from homeport.security.policies import Denied, DpsRight, SharedAccessPolicy, authorize
from homeport.security.sas import SasError, is_for_service, parse_token

log = logging.getLogger(__name__)

Policies = Callable[[], Sequence[SharedAccessPolicy[DpsRight]]]
Hosts = Callable[[], Collection[str]]


class Authorization:
    """Judges a request's token. `policies` and `hosts` are asked each time, for both may change while we run."""

    def __init__(self, *, policies: Policies, hosts: Hosts, clock: Clock, admission: Admission | None = None) -> None:
        self._policies = policies
        self._hosts = hosts
        self._clock = clock
        self._admission = admission

    def demand(self, request: web.BaseRequest, peer: Peer, right: DpsRight, tracking_id: str) -> None:
        """Return if the caller has the right, and has not called too often.

        Raises HomeportError UNAUTHORIZED (the log says why) or THROTTLED.
        """
        take_back = self._admission.operation(address=peer.remote.host) if self._admission else None
        problem = self._problem(request.headers.get("Authorization", "").strip(), right)
        if problem is not None:
            if take_back is not None:
                take_back()
            log.info(
                "%s from %s is not authorized (tracking id %s): %s",
                request.method,
                peer.remote.host,
                tracking_id,
                problem,
            )
            raise HomeportError(Code.UNAUTHORIZED, "Unauthorized")

    def _problem(self, text: str, right: DpsRight) -> str | None:
        if not text:
            return "there is no Authorization header"
        try:
            token = parse_token(text)
        except SasError as error:
            return str(error)
        hosts = self._hosts()
        verdict = authorize(
            self._policies(), token, now=self._clock.now(), covers=lambda candidate: is_for_service(candidate, hosts)
        )
        if isinstance(verdict, Denied):
            return verdict.explanation
        if right not in verdict.rights:
            return f"the policy does not grant {right.value}"
        return None
