"""The limits of policies and authorities as laws: whatever is wished, a certificate stays within all of them."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from homeport.dps.issuing.issuance import default_policy, is_dns_name, leaf_content
from homeport.dps.issuing.names import check_name
from homeport.dps.issuing.policies import LEAST_VALIDITY, check_policy
from homeport.dps.model import AuthorityVersion, CertificateAuthority, CertificatePolicy, StoredKey
from homeport.errors import Code, HomeportError
from homeport.security.signing_keys import public_bytes
from homeport.security.x509_issue import (
    SERIAL_RANDOM_BYTES,
    AuthorityContent,
    Usage,
    issue_authority,
    serial_number,
)
from homeport.values import replace

NOW = datetime(2026, 5, 17, 12, 0, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1())
BEGIN, END = NOW.replace(microsecond=0) - DAY, NOW.replace(microsecond=0) + 100 * DAY
CERTIFICATE = issue_authority(
    AuthorityContent(common_name="line", path_length=0, not_before=BEGIN, not_after=END),
    public_key=KEY.public_key(),
    serial=serial_number(bytes(SERIAL_RANDOM_BYTES)),
    issuer=None,
    issuer_key=KEY,
)
AUTHORITY = CertificateAuthority(
    name="line",
    maximum_validity=30 * DAY,
    versions=(
        AuthorityVersion(
            number=1,
            certificate=CERTIFICATE,
            issuers=(),
            key=StoredKey(public_key=public_bytes(KEY.public_key()), sealed=b""),
            not_after=END,
            created_at=NOW,
        ),
    ),
    created_at=NOW,
    updated_at=NOW,
)
POLICY = CertificatePolicy(name="standard", authority="line", created_at=NOW, updated_at=NOW)

spans = st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=1000))


@given(validity=spans, backdate=spans, maximum=spans, after=st.timedeltas(min_value=timedelta(0), max_value=99 * DAY))
def test_no_certificate_outlives_what_limits_it(
    validity: timedelta, backdate: timedelta, maximum: timedelta, after: timedelta
) -> None:
    policy = replace(POLICY, validity=validity, backdate=backdate)
    now = NOW + after
    content = leaf_content("dev-1", replace(AUTHORITY, maximum_validity=maximum), policy, now)
    assert content.not_after <= END
    assert content.not_after <= now + min(validity, maximum)
    assert content.not_before >= BEGIN
    assert content.not_before <= now
    assert content.not_before < content.not_after or content.not_after <= now
    assert content.common_name == "dev-1"


@given(validity=spans, backdate=spans, renewal=spans, maximum=spans)
def test_a_policy_that_is_taken_can_be_kept(
    validity: timedelta, backdate: timedelta, renewal: timedelta, maximum: timedelta
) -> None:
    policy = replace(POLICY, validity=validity, backdate=backdate, renew_before=renewal)
    authority = replace(AUTHORITY, maximum_validity=maximum)
    try:
        check_policy(policy, authority)
    except HomeportError:
        return
    assert LEAST_VALIDITY <= validity <= maximum
    assert renewal < validity


@given(maximum=st.timedeltas(min_value=timedelta(minutes=5), max_value=timedelta(days=1000)))
def test_the_default_policy_can_always_be_kept(maximum: timedelta) -> None:
    authority = replace(AUTHORITY, maximum_validity=maximum)
    check_policy(default_policy(authority), authority)


@pytest.mark.parametrize(
    "changes",
    [{"key_algorithms": ()}, {"usages": (Usage.SERVER_AUTH,)}, {"renew_before": POLICY.validity}],
)
def test_policies_that_promise_nothing_useful(changes: dict[str, object]) -> None:
    with pytest.raises(HomeportError) as refused:
        check_policy(replace(POLICY, **changes), AUTHORITY)  # type: ignore[arg-type]  # each value fits its member
    assert refused.value.code is Code.INVALID_REQUEST


@pytest.mark.parametrize(
    ("registration_id", "is_name"),
    [("dev-1", True), ("a.b-c.d", True), ("dev_1", False), ("dev:1", False), ("-dev", False), ("127.0.0.1", False)],
)
def test_only_dns_names_become_dns_names(registration_id: str, is_name: bool) -> None:
    assert is_dns_name(registration_id) is is_name
    content = leaf_content(registration_id, AUTHORITY, replace(POLICY, dns_name=True), NOW)
    assert content.dns_names == ((registration_id,) if is_name else ())


@pytest.mark.parametrize("name", ["", "ab", "-abc", "a b c", "a/b", "x" * 64, "naïve", "abc\n"])
def test_names_that_no_enrollment_can_give(name: str) -> None:
    with pytest.raises(HomeportError):
        check_name(name, "certificate authority")
