"""The question asked of every chain: whether somebody took one of its certificates back."""

from datetime import datetime

from homeport.clock import Clock
from homeport.dps.attestation import INVALID_CERTIFICATE, Findings, Refused, Trust
from homeport.dps.model import RevocationPolicy
from homeport.dps.revocation.keeper import CrlKeeper
from homeport.dps.revocation.links import Link, links
from homeport.dps.revocation.lists import CrlShelf
from homeport.dps.revocation.responders import Responders
from homeport.errors import Code
from homeport.security.explain import quoted, server_time
from homeport.security.revocation import RevocationError, Revoked, authority_key, distribution_points
from homeport.security.x509 import Certificate

_CHECK = "revocation"


class Revocation:
    """Asks the lists at hand, then the responders; what lists are missing, `keeper` fetches meanwhile."""

    def __init__(self, shelf: CrlShelf, responders: Responders, keeper: CrlKeeper, clock: Clock) -> None:
        self._shelf = shelf
        self._responders = responders
        self._keeper = keeper
        self._clock = clock

    async def check(self, path: tuple[Certificate, ...], trust: Trust, findings: Findings) -> Refused | None:
        """Note what is known of each certificate of the path, or refuse the device."""
        for link in links(path, trust):
            if refused := await self._check_link(link, findings):
                return refused
        return None

    async def _check_link(self, link: Link, findings: Findings) -> Refused | None:
        now = self._clock.now()
        unknown: list[str] = []
        authority = authority_key(link.issuer)
        crl = await self._shelf.get(authority)
        if crl is None:
            unknown.append(f"there is no CRL of {link.issuer.label}")
            if problem := self._keeper.problem(authority):
                unknown.append(problem)
        elif revoked := crl.find(link.certificate.parsed.serial_number):
            return _refuse(link, revoked, f"{crl.label} of {link.issuer.label}", findings)
        elif crl.is_current(now):
            findings.passed(
                _CHECK,
                f"{link.certificate.label} is not on {crl.label} of {link.issuer.label}{_until(crl.next_update)}",
            )
            return None
        else:
            unknown.append(f"{crl.label} of {link.issuer.label} is out of date{_until(crl.next_update)}")
            if problem := self._keeper.problem(authority):
                unknown.append(problem)
        if link.settings.use_distribution_points:
            self._keeper.want(link.issuer, distribution_points(link.certificate))
        if link.settings.use_ocsp:
            try:
                answer = await self._responders.ask(link.certificate, link.issuer)
            except RevocationError as error:
                unknown.append(str(error))
            else:
                if answer is None:
                    unknown.append(f"{link.certificate.label} names no OCSP responder")
                elif answer.revoked is not None:
                    return _refuse(link, answer.revoked, f"{answer.label} of {link.issuer.label}", findings)
                else:
                    findings.passed(_CHECK, f"{link.certificate.label} is good by {answer.label}")
                    return None
        return _judge_unknown(link, "; ".join(unknown), findings)


def _judge_unknown(link: Link, why: str, findings: Findings) -> Refused | None:
    if link.settings.policy is not RevocationPolicy.REQUIRE:
        findings.passed(
            _CHECK, f"nothing is known of {link.certificate.label}: {why}. {quoted(link.authority.name)} lets it pass"
        )
        return None
    return findings.refuse(
        _CHECK,
        f"it is not known whether {link.certificate.label} was revoked, which {quoted(link.authority.name)} "
        f"requires: {why}",
        code=Code.UNAVAILABLE,
        message="The revocation status of the certificate is not known for now.",
        advice="Upload a current CRL of that issuer, or let its distribution point or OCSP responder be asked.",
    )


def _refuse(link: Link, revoked: Revoked, source: str, findings: Findings) -> Refused:
    return findings.refuse(
        _CHECK,
        f"{link.certificate.label}, serial number {link.certificate.info.serial_number}, was revoked at "
        f"{server_time(revoked.at)} ({revoked.reason.value}), says {source}",
        message=INVALID_CERTIFICATE,
        advice="Give the device a new certificate; if the revocation is wrong, its authority has to take it back.",
    )


def _until(next_update: datetime | None) -> str:
    return "" if next_update is None else f" (next one due {server_time(next_update)})"
