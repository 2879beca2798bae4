"""Certificate paths: from a device's leaf to the nearest signing certificate of a group, judged at a given time.

The rules are contract dps.md 6.4 and 6.6, and the parts of RFC 5280, 6 that they need. Revocation is not looked at.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from msgspec import Struct

from homeport.security.explain import ago, quoted, server_time
from homeport.security.sas import CLOCK_SKEW
from homeport.security.x509 import MAX_CHAIN_LENGTH, Certificate

MAX_SIGNATURE_CHECKS = 40
"""A chain of ten needs nine; the rest is for CA certificates that share a name."""
_REMEMBERED_SIGNATURES = 256
_good_signatures: dict[tuple[str, str], None] = {}
"""Child and issuer by SHA-256 of their DER, which settles the answer for good; oldest first. It keeps no
certificate alive."""


class PathFault(StrEnum):
    """Why certificates do not prove a device."""

    NO_CERTIFICATE = "no-certificate"
    TOO_MANY_CERTIFICATES = "too-many-certificates"
    NO_ANCHOR = "no-anchor"
    BROKEN_SIGNATURE = "broken-signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    NOT_A_CA = "not-a-ca"
    PATH_TOO_LONG = "path-too-long"
    TOO_WEAK = "too-weak"
    UNKNOWN_CRITICAL_EXTENSION = "unknown-critical-extension"
    TOO_MUCH_WORK = "too-much-work"


class PathProblem(Struct, frozen=True, kw_only=True):
    """No path; `explanation` is for an operator, with every name in it made printable."""

    fault: PathFault
    explanation: str


class Path(Struct, frozen=True, kw_only=True):
    """A sound path, leaf first, anchor last."""

    certificates: tuple[Certificate, ...]

    @property
    def leaf(self) -> Certificate:
        return self.certificates[0]

    @property
    def anchor(self) -> Certificate:
        return self.certificates[-1]


PathResult = Path | PathProblem


class AnchorWords(Struct, frozen=True, kw_only=True):
    """What anchors are called where a path does not reach one."""

    holder: str = "enrollment group"
    anchor: str = "signing certificate"


_ANCHOR_WORDS = AnchorWords()


class CertificateIndex:
    """Certificates by subject, so that finding an issuer among hundreds costs no signature checks."""

    def __init__(self, certificates: Iterable[Certificate] = ()) -> None:
        by_subject: defaultdict[str, list[Certificate]] = defaultdict(list)
        for certificate in dict.fromkeys(certificates):
            by_subject[certificate.subject_key].append(certificate)
        self._by_subject = dict(by_subject)

    def named(self, subject_key: str) -> Sequence[Certificate]:
        """Return the certificates with that subject."""
        return self._by_subject.get(subject_key, ())

    def candidates(self, child: Certificate) -> list[Certificate]:
        """Return those that may have issued `child`: the name is right, and no key identifier speaks against it."""
        return [issuer for issuer in self.named(child.issuer_key) if _key_ids_agree(child, issuer)]


def _key_ids_agree(child: Certificate, issuer: Certificate) -> bool:
    return child.issuer_key_id is None or issuer.key_id is None or child.issuer_key_id == issuer.key_id


def is_issued_by(child: Certificate, issuer: Certificate, *, shared: bool = False) -> bool:
    """Tell whether `issuer`'s name and key issued `child`; False for anything that cannot be verified.

    With `shared`, for certificates above a leaf, which many devices present, a signature found good is remembered.
    Dates and purposes are judged each time, elsewhere.
    """
    pair = (child.info.sha256_thumbprint, issuer.info.sha256_thumbprint)
    if shared and pair in _good_signatures:
        return True
    try:
        child.parsed.verify_directly_issued_by(issuer.parsed)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    if shared:
        if len(_good_signatures) >= _REMEMBERED_SIGNATURES:
            del _good_signatures[next(iter(_good_signatures))]
        _good_signatures[pair] = None
    return True


def judge_leaf(leaf: Certificate, *, now: datetime, tolerance: timedelta = CLOCK_SKEW) -> PathProblem | None:
    """Judge a certificate that is known by its thumbprint: its dates, its key, its extensions."""
    return _judge_any(leaf, now, tolerance)


def find_anchor(
    presented: Sequence[Certificate],
    anchors: CertificateIndex,
    *,
    now: datetime,
    known: CertificateIndex | None = None,
    words: AnchorWords = _ANCHOR_WORDS,
    tolerance: timedelta = CLOCK_SKEW,
) -> PathResult:
    """Find and judge the path from `presented[0]` to the anchor nearest to it.

    `anchors` are the signing certificates of *all* groups, disabled ones too: which group the nearest anchor
    belongs to, and whether it is enabled, is the caller's question, and a nearer disabled group must win
    (contract dps.md 6.4). The other presented certificates may come in any order, with the anchor or without.
    `known` are certificates that complete a chain where the device left one out; they prove nothing by themselves.
    Never raises; the work is bounded by MAX_SIGNATURE_CHECKS.
    """
    if not presented:
        return PathProblem(fault=PathFault.NO_CERTIFICATE, explanation="the device presented no certificate")
    if len(presented) > MAX_CHAIN_LENGTH:
        return PathProblem(
            fault=PathFault.TOO_MANY_CERTIFICATES,
            explanation=f"the device presented {len(presented)} certificates, at most {MAX_CHAIN_LENGTH} are read",
        )
    return _Search(presented, anchors, known or CertificateIndex(), words, now, tolerance).run()


class _Search:
    """One breadth-first walk upwards; breadth first is what makes the found anchor the nearest one."""

    def __init__(
        self,
        presented: Sequence[Certificate],
        anchors: CertificateIndex,
        known: CertificateIndex,
        words: AnchorWords,
        now: datetime,
        tolerance: timedelta,
    ) -> None:
        self._leaf = presented[0]
        self._presented = CertificateIndex(presented[1:])
        self._anchors = anchors
        self._known = known
        self._words = words
        self._now = now
        self._tolerance = tolerance
        self._checks_left = MAX_SIGNATURE_CHECKS
        self._judged: PathProblem | None = None
        """The first fault found in a certificate whose signature holds: the likeliest cause of all."""
        self._broken: PathProblem | None = None

    def run(self) -> PathResult:
        problem = _judge_any(self._leaf, self._now, self._tolerance)
        if problem:
            return problem
        paths: deque[tuple[Certificate, ...]] = deque([(self._leaf,)])
        reached = {self._leaf}
        top = self._leaf
        while paths:
            path = paths.popleft()
            top = path[-1]
            candidates = self._candidates(top, reached)
            if candidates and top.weak_signature:
                # Said before trying: the library won't verify some of these, which would look like forgery.
                self._judged = self._judged or _too_weak(top, top.weak_signature)
                continue
            issued = False
            for issuer, is_anchor in candidates:
                if not self._checks_left:
                    return _too_much_work()
                self._checks_left -= 1
                if not is_issued_by(top, issuer, shared=top is not self._leaf):
                    continue
                issued = True
                problem = _judge_issuer(issuer, path, self._now, self._tolerance)
                if problem:
                    self._judged = self._judged or problem
                elif is_anchor:
                    return Path(certificates=(*path, issuer))
                else:
                    # The first path to a certificate is a shortest one; a longer one could do no better.
                    reached.add(issuer)
                    paths.append((*path, issuer))
            if candidates and not issued:
                self._broken = self._broken or _broken(top)
        return self._judged or self._broken or self._no_anchor(top)

    def _candidates(self, child: Certificate, reached: set[Certificate]) -> list[tuple[Certificate, bool]]:
        """Return possible issuers, anchors first, each with whether it is one."""
        anchors = self._anchors.candidates(child)
        others = dict.fromkeys((*self._presented.candidates(child), *self._known.candidates(child)))
        found = [
            *((issuer, True) for issuer in anchors),
            *((issuer, False) for issuer in others if issuer not in anchors),
        ]
        return [(issuer, is_anchor) for issuer, is_anchor in found if issuer not in reached]

    def _no_anchor(self, top: Certificate) -> PathProblem:
        issuer = quoted(top.info.issuer_name)
        holder, anchor = self._words.holder, self._words.anchor
        if top.is_self_issued:
            text = f"the chain ends at {top.label}, which is not a {anchor} of any {holder}"
        else:
            text = (
                f"the chain ends at {top.label}, issued by {issuer}: no {holder} has a {anchor} of that name, and "
                "the device did not send it"
            )
        if any(other != top for other in self._anchors.named(top.issuer_key)):
            text = (
                f"the chain ends at {top.label}, issued by {issuer}: an {holder} has a {anchor} of that name, but "
                "with another key"
            )
        return PathProblem(fault=PathFault.NO_ANCHOR, explanation=text)


def _judge_any(certificate: Certificate, now: datetime, tolerance: timedelta) -> PathProblem | None:
    """Judge what holds for every certificate of a path."""
    info = certificate.info
    # Not `not_after + tolerance`: 9999-12-31 stands for "never" (RFC 5280, 4.1.2.5), and nothing comes after it.
    if now - tolerance > info.not_after:
        late = ago((now - info.not_after).total_seconds())
        return PathProblem(
            fault=PathFault.EXPIRED,
            explanation=f"certificate {certificate.label} expired {late} ago, at {server_time(info.not_after)} "
            f"(server's clock: {server_time(now)})",
        )
    if now + tolerance < info.not_before:
        return PathProblem(
            fault=PathFault.NOT_YET_VALID,
            explanation=f"certificate {certificate.label} is not valid before {server_time(info.not_before)} "
            f"(server's clock: {server_time(now)})",
        )
    if certificate.weak_key:
        return _too_weak(certificate, certificate.weak_key)
    if certificate.unknown_critical:
        return PathProblem(
            fault=PathFault.UNKNOWN_CRITICAL_EXTENSION,
            explanation=f"certificate {certificate.label} has critical extensions that are not supported: "
            + ", ".join(certificate.unknown_critical[:5]),
        )
    return None


def _judge_issuer(
    issuer: Certificate, path: Sequence[Certificate], now: datetime, tolerance: timedelta
) -> PathProblem | None:
    """Judge a certificate as the issuer of the path's last one."""
    problem = _judge_any(issuer, now, tolerance)
    if problem:
        return problem
    if not (issuer.is_ca and issuer.may_sign):
        lacks = "certificate signing in its key usage" if issuer.is_ca else "CA:TRUE in its basic constraints"
        return PathProblem(
            fault=PathFault.NOT_A_CA,
            explanation=f"certificate {issuer.label} issued another one but lacks {lacks}",
        )
    # RFC 5280, 4.2.1.9: intermediates between this CA and the leaf, self-issued ones aside.
    between = sum(not certificate.is_self_issued for certificate in path[1:])
    if issuer.path_length is not None and between > issuer.path_length:
        return PathProblem(
            fault=PathFault.PATH_TOO_LONG,
            explanation=f"certificate {issuer.label} allows {issuer.path_length} CA certificates below it, "
            f"the chain has {between}",
        )
    return None


def _too_weak(certificate: Certificate, weakness: str) -> PathProblem:
    return PathProblem(fault=PathFault.TOO_WEAK, explanation=f"certificate {certificate.label} is too weak: {weakness}")


def _broken(child: Certificate) -> PathProblem:
    return PathProblem(
        fault=PathFault.BROKEN_SIGNATURE,
        explanation=f"no known certificate named {quoted(child.info.issuer_name)} made the signature of "
        f"{child.label}: it was altered, or the CA has a new key under its old name",
    )


def _too_much_work() -> PathProblem:
    return PathProblem(
        fault=PathFault.TOO_MUCH_WORK,
        explanation=f"no path was found within {MAX_SIGNATURE_CHECKS} signature checks: too many CA certificates "
        "share one name without key identifiers",
    )
