"""The administrator's questions about certificate policies."""

from collections.abc import Sequence
from datetime import timedelta

from homeport.clock import Clock
from homeport.dps.identifiers import Random, new_etag
from homeport.dps.issuing.names import check_name, check_text
from homeport.dps.issuing.ports import AuthorityStore, CertificatePolicyStore
from homeport.dps.model import CertificateAuthority, CertificatePolicy
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller
from homeport.security.x509_issue import Usage
from homeport.values import replace

MAX_POLICIES = 500
LEAST_VALIDITY = timedelta(minutes=5)
LONGEST_BACKDATE = timedelta(days=7)


class CertificatePolicyService:
    """Answers administrators about policies."""

    def __init__(
        self, *, policies: CertificatePolicyStore, authorities: AuthorityStore, clock: Clock, random: Random
    ) -> None:
        self._policies = policies
        self._authorities = authorities
        self._clock = clock
        self._random = random

    async def all(self) -> Sequence[CertificatePolicy]:
        return await self._policies.all()

    async def get(self, name: str) -> CertificatePolicy:
        """Raise NOT_FOUND if there is none."""
        policy = await self._policies.get(name)
        if policy is None:
            raise HomeportError(Code.NOT_FOUND, "There is no certificate policy of that name.")
        return policy

    async def put(self, policy: CertificatePolicy, *, by: Caller = SYSTEM) -> CertificatePolicy:
        """Create a policy, or replace the one of that name; certificates that were issued stay as they are.

        Raises INVALID_REQUEST, NOT_FOUND for an authority that does not exist.
        """
        check_name(policy.name, "certificate policy")
        authority = await self._authorities.get(policy.authority)
        if authority is None:
            raise HomeportError(Code.NOT_FOUND, f"There is no certificate authority {policy.authority}.")
        check_policy(policy, authority)
        now = self._clock.now()
        stored = await self._policies.get(policy.name)
        wanted = replace(
            policy,
            name=stored.name if stored else policy.name,
            authority=authority.name,
            organization=check_text(policy.organization, "organization"),
            organizational_unit=check_text(policy.organizational_unit, "organizationalUnit"),
            etag=new_etag(self._random),
            created_at=stored.created_at if stored else now,
            updated_at=now,
        )
        if stored is not None:
            await self._policies.replace(wanted, expected_etag=stored.etag, by=by)
        elif len(await self._policies.all()) >= MAX_POLICIES:
            raise _invalid(f"there are {MAX_POLICIES} certificate policies, the most that are kept")
        else:
            await self._policies.create(wanted, by=by)
        return wanted

    async def delete(self, name: str, *, by: Caller = SYSTEM) -> None:
        """Raise NOT_FOUND, or ISSUING_IN_USE with the enrollment that names it."""
        policy = await self.get(name)
        enrollment = await self._policies.enrollment_with(policy.name)
        if enrollment is not None:
            raise HomeportError(
                Code.ISSUING_IN_USE, f"{policy.name} cannot be deleted: the enrollment {enrollment} names it."
            )
        await self._policies.delete(policy.name, by=by)


def check_policy(policy: CertificatePolicy, authority: CertificateAuthority) -> None:
    """Raise HomeportError INVALID_REQUEST for a policy that promises what cannot be kept."""
    if not LEAST_VALIDITY <= policy.validity <= authority.maximum_validity:
        raise _invalid(
            f"the validity is not between {LEAST_VALIDITY} and {authority.maximum_validity}, "
            f"the most that {authority.name} allows"
        )
    if not timedelta(0) <= policy.backdate <= LONGEST_BACKDATE:
        raise _invalid(f"the backdating is not between 0 and {LONGEST_BACKDATE.days} days")
    if not timedelta(0) <= policy.renew_before < policy.validity:
        raise _invalid("the renewal window is not shorter than the validity")
    if not policy.key_algorithms:
        raise _invalid("the policy allows no kind of key")
    if Usage.CLIENT_AUTH not in policy.usages:
        raise _invalid(f"a device shows its certificate as a client: extendedKeyUsages needs {Usage.CLIENT_AUTH}")


def _invalid(message: str) -> HomeportError:
    return HomeportError(Code.INVALID_REQUEST, f"{message}.")
