"""OCSP: one question about one certificate, within a deadline; answers are kept as long as they say."""

import asyncio
from collections import OrderedDict
from datetime import datetime, timedelta

from homeport.clock import Clock
from homeport.dps.identifiers import Random
from homeport.dps.ports import RevocationFetcher
from homeport.security.ocsp import MAX_ANSWER_BYTES, NONCE_BYTES, REQUEST_TYPE, OcspAnswer, build_request, read_answer
from homeport.security.revocation import RevocationError, authority_key, ocsp_responders
from homeport.security.x509 import Certificate

DEADLINE = 3.0
"""Seconds a device may be kept waiting for a responder."""
_KEPT = 10_000
_REST = timedelta(seconds=15)
"""How long a responder that failed is left alone: devices must not queue up for one that is down."""
_RESTING = 1000
_AT_ONCE = 32


class Responders:
    """Asks the responders that certificates name."""

    def __init__(self, fetcher: RevocationFetcher, clock: Clock, random: Random, *, deadline: float = DEADLINE) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._random = random
        self._deadline = deadline
        self._answers: OrderedDict[tuple[str, int], OcspAnswer] = OrderedDict()
        self._resting: dict[str, tuple[datetime, str]] = {}
        self._busy = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, certificate: Certificate, issuer: Certificate) -> OcspAnswer | None:
        """Return what a responder says of a certificate; None if it names none. Raises RevocationError."""
        urls = ocsp_responders(certificate)
        if not urls:
            return None
        key = (authority_key(issuer), certificate.parsed.serial_number)
        now = self._clock.now()
        kept = self._answers.get(key)
        if kept is not None and kept.next_update is not None and now < kept.next_update:
            return kept
        try:
            async with asyncio.timeout(self._deadline), self._busy:
                answer = await self._first(urls, certificate, issuer)
        except TimeoutError:
            raise RevocationError(f"no OCSP responder answered within {self._deadline:g} seconds") from None
        if answer.next_update is not None:
            self._answers[key] = answer
            self._answers.move_to_end(key)
            if len(self._answers) > _KEPT:
                self._answers.popitem(last=False)
        return answer

    async def _first(self, urls: tuple[str, ...], certificate: Certificate, issuer: Certificate) -> OcspAnswer:
        problem = RevocationError("no OCSP responder could be asked")
        for url in urls:
            until, why = self._resting.get(url, (None, ""))
            if until is not None and self._clock.now() < until:
                problem = RevocationError(why)
                continue
            nonce = self._random(NONCE_BYTES)
            request = build_request(certificate, issuer, nonce)
            try:
                # Its failure is noted by whoever waited for it to the end; the deadline of all is above.
                data = await self._fetcher.post(
                    url, request, REQUEST_TYPE, limit=MAX_ANSWER_BYTES, seconds=self._deadline / 2
                )
            except RevocationError as error:
                self._rest(url, str(error))
                problem = error
                continue
            try:
                return read_answer(data, certificate, issuer, nonce=nonce, now=self._clock.now())
            except RevocationError as error:
                problem = error
        raise problem

    def _rest(self, url: str, why: str) -> None:
        if len(self._resting) >= _RESTING:
            del self._resting[next(iter(self._resting))]
        self._resting[url] = (self._clock.now() + _REST, why)
