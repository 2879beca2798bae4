"""Symmetric keys: whether a SAS token is signed with a key this device may use, and if not, why (dps.md 2.2, 2.3)."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from homeport.dps.attestation.verdict import Attested, Findings, Refused, Verdict
from homeport.dps.model import (
    AttestationKind,
    DeviceClaim,
    EnrollmentGroup,
    EnrollmentRef,
    IndividualEnrollment,
    SasCredential,
    SymmetricKeyAttestation,
)
from homeport.security.explain import quoted
from homeport.security.sas import (
    SasToken,
    derive_device_key,
    encode_key,
    explain_expiry,
    is_expired,
    verify_signature,
)
from homeport.values import replace

_SIGNATURE = "token signature"
_EXPIRY = "token expiry"


def verify_individual(
    enrollment: IndividualEnrollment,
    attestation: SymmetricKeyAttestation,
    token: SasToken,
    claim: DeviceClaim,
    *,
    groups: Sequence[EnrollmentGroup],
    now: datetime,
    findings: Findings,
) -> Verdict:
    """Judge a token under an individual enrollment. `groups` only help to explain a refusal."""
    keys = _keys(attestation)
    # Both keys are always tried: which of the two signed must not show in the time taken.
    signed = [verify_signature(token, key) for _, key in keys]
    if not any(signed):
        return _explain_individual(keys, token, claim, groups, findings)
    findings.passed(_SIGNATURE, f"signed with the enrollment's {_first(keys, signed)} key")
    if refusal := refuse_expired(token, now, findings):
        return refusal
    return Attested(
        enrollment=enrollment,
        kind=AttestationKind.SYMMETRIC_KEY,
        identity=SasCredential(primary_key=attestation.primary_key, secondary_key=attestation.secondary_key),
        device_id=enrollment.hub_device_id,
        checks=tuple(findings.checks),
    )


def verify_groups(
    groups: Sequence[EnrollmentGroup], token: SasToken, claim: DeviceClaim, *, now: datetime, findings: Findings
) -> Verdict:
    """Find the group whose derived device key signed the token; nothing else tells the group (dps.md 2.3)."""
    found = _find_group(groups, token, claim)
    if found is None:
        return _explain_groups(groups, token, claim, findings)
    group, slot, spelling, identity = found
    findings.enrollment = EnrollmentRef(group_id=group.group_id)
    findings.passed("enrollment group", f"the token's key is derived from group {quoted(group.group_id)}")
    findings.passed(
        _SIGNATURE, f"signed with the device key derived from the group's {slot} key for {quoted(spelling)}"
    )
    if refusal := refuse_expired(token, now, findings):
        return refusal
    return Attested(
        enrollment=group,
        kind=AttestationKind.SYMMETRIC_KEY,
        identity=identity,
        device_id=claim.registration_id,
        checks=tuple(findings.checks),
    )


def refuse_expired(token: SasToken, now: datetime, findings: Findings) -> Refused | None:
    """Note that a genuine token is in time, or refuse it."""
    if is_expired(token, now):
        return findings.refuse(
            _EXPIRY,
            explain_expiry(token, now),
            advice="Check the device's clock, and that it makes a fresh token for every attempt.",
        )
    left = token.expiry - int(now.timestamp())
    state = f"good for {left} more seconds" if left >= 0 else f"over by {-left} seconds, which is tolerated"
    findings.passed(_EXPIRY, f"{state}, by the server's clock")
    return None


def _keys(attestation: SymmetricKeyAttestation) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    return ("primary", attestation.primary_key), ("secondary", attestation.secondary_key)


def _first(keys: Sequence[tuple[str, bytes]], signed: Sequence[bool]) -> str:
    return keys[signed.index(True)][0]


def _spellings(claim: DeviceClaim) -> Iterable[str]:
    """Return the id as the device writes it, and as a courtesy its lower-case form (contract dps.md 2.3)."""
    return dict.fromkeys((claim.registration_id, claim.registration_id.lower()))


def _keyed(groups: Sequence[EnrollmentGroup]) -> Iterator[tuple[EnrollmentGroup, SymmetricKeyAttestation]]:
    for group in groups:
        if isinstance(group.attestation, SymmetricKeyAttestation):
            yield group, group.attestation


def _find_group(
    groups: Sequence[EnrollmentGroup], token: SasToken, claim: DeviceClaim
) -> tuple[EnrollmentGroup, str, str, SasCredential] | None:
    """Return the group, which of its keys it was, the spelling of the id, and the device's two keys."""
    for spelling in _spellings(claim):
        for group, attestation in _keyed(groups):
            primary, secondary = (derive_device_key(key, spelling) for _, key in _keys(attestation))
            for slot, key in (("primary", primary), ("secondary", secondary)):
                if verify_signature(token, key):
                    return group, slot, spelling, SasCredential(primary_key=primary, secondary_key=secondary)
    return None


# ---------------------------------------------------------------- why not: only on the way to a refusal


def _explain_individual(
    keys: Sequence[tuple[str, bytes]],
    token: SasToken,
    claim: DeviceClaim,
    groups: Sequence[EnrollmentGroup],
    findings: Findings,
) -> Refused:
    for slot, key in keys:
        if mistake := _common_mistake(token, key):
            return findings.refuse(_SIGNATURE, f"{mistake} (the enrollment's {slot} key)", advice=_MISTAKES[mistake])
        if verify_signature(token, derive_device_key(key, claim.registration_id)):
            return findings.refuse(
                _SIGNATURE,
                f"the token is signed with a key derived from the individual enrollment's {slot} key; "
                "only the keys of groups are derived from",
                advice="Give the device the enrollment's key as it stands.",
            )
    if found := _find_group(groups, token, claim):
        return findings.refuse(
            _SIGNATURE,
            f"the token is signed with the device key of group {quoted(found[0].group_id)}, but an individual "
            "enrollment exists for this registration id, and then it is the only one tried",
            advice="Delete the individual enrollment, or give the device that enrollment's key.",
        )
    return findings.refuse(
        _SIGNATURE,
        "the token is signed with neither the primary nor the secondary key of the individual enrollment",
        advice="Compare the device's key with the enrollment's; either may have been changed since.",
    )


def _explain_groups(
    groups: Sequence[EnrollmentGroup], token: SasToken, claim: DeviceClaim, findings: Findings
) -> Refused:
    named = token.resource.rpartition("/")[2]
    others = [s for s in dict.fromkeys((named, claim.registration_id.upper())) if s not in _spellings(claim)]
    count = 0
    for group, attestation in _keyed(groups):
        count += 1
        for slot, key in _keys(attestation):
            label = f"the {slot} key of group {quoted(group.group_id)}"
            if verify_signature(token, key):
                findings.enrollment = EnrollmentRef(group_id=group.group_id)
                return findings.refuse(
                    _SIGNATURE,
                    f"the token is signed with {label} itself instead of the device key derived from it",
                    advice="Derive the device's key from the group key and the registration id, and keep the group "
                    "key off the device.",
                )
            for spelling in others:
                if verify_signature(token, derive_device_key(key, spelling)):
                    findings.enrollment = EnrollmentRef(group_id=group.group_id)
                    return findings.refuse(
                        _SIGNATURE,
                        f"the token's key is derived from {label} for {quoted(spelling)}, but the device registers "
                        f"as {quoted(claim.registration_id)}",
                        advice="Derive the device's key from the registration id exactly as the device spells it.",
                    )
            derived = derive_device_key(key, claim.registration_id)
            text_derived = derive_device_key(encode_key(key).encode(), claim.registration_id)
            if verify_signature(token, text_derived):
                return findings.refuse(
                    _SIGNATURE,
                    f"the device key was derived from the Base64 text of {label} instead of the bytes it stands for",
                    advice="Decode the group key from Base64 before deriving from it.",
                )
            if mistake := _common_mistake(token, derived):
                return findings.refuse(_SIGNATURE, f"{mistake} (derived from {label})", advice=_MISTAKES[mistake])
    if not count:
        reason = "no individual enrollment has this registration id, and no enrollment group uses symmetric keys"
    else:
        reason = (
            "no individual enrollment has this registration id, and none of the "
            f"{count} symmetric-key groups has a key that the token's key derives from"
        )
    return findings.refuse(
        "enrollment", reason, advice="Create the enrollment, or correct the device's registration id or key."
    )


_TEXT_KEY = "the token is signed with the Base64 text of the key instead of the bytes it stands for"
_OTHER_TEXT = "the signature covers the decoded resource, but the token carries it percent-encoded"
_MISTAKES = {
    _TEXT_KEY: "Decode the key from Base64 before signing with it.",
    _OTHER_TEXT: "Sign exactly the text that the token carries as sr.",
}


def _common_mistake(token: SasToken, key: bytes) -> str | None:
    """Name what went wrong if the device has the right key but uses it wrongly."""
    if verify_signature(token, encode_key(key).encode()):
        return _TEXT_KEY
    if token.resource != token.raw_resource and verify_signature(replace(token, raw_resource=token.resource), key):
        return _OTHER_TEXT
    return None
