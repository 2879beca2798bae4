"""Who issues certificates to an enrollment's devices: documents <-> model, since 2026-11-01 (contract dps.md 13.1)."""

import re
from typing import Any

from msgspec import UNSET

from homeport.dps.model import Enrollment
from homeport.errors import Code, HomeportError
from homeport.wire import dps_service as wire
from homeport.wire.versions import knows_issuers

_FORMS = {
    "namespace_name": ("namespaceName", re.compile(r"[a-z0-9][a-z0-9-]{1,62}[a-z0-9]")),
    "certificate_authority_name": ("certificateAuthorityName", re.compile(r"[0-9a-zA-Z][a-zA-Z0-9-]{2,62}")),
    "certificate_policy_name": ("certificatePolicyName", re.compile(r"[0-9a-zA-Z][a-zA-Z0-9-]{2,62}")),
}


def issuer_of(
    document: wire.IndividualEnrollment | wire.EnrollmentGroup, stored: Enrollment | None, api_version: str
) -> dict[str, Any]:
    """Read the three names. A client of an older version knows nothing of them: they stay as they are.

    Raises HomeportError INVALID_REQUEST.
    """
    if not knows_issuers(api_version):
        return {} if stored is None else {name: getattr(stored, name) for name in _FORMS}
    given = {name: getattr(document, name) for name in _FORMS}
    for name, value in given.items():
        member, form = _FORMS[name]
        if isinstance(value, str) and form.fullmatch(value) is None:
            raise HomeportError(Code.INVALID_REQUEST, f"{member} is not of the form {form.pattern}.")
    return {name: value if isinstance(value, str) else None for name, value in given.items()}


def issuer_members(enrollment: Enrollment, api_version: str) -> dict[str, Any]:
    """Write the three names to clients that know them."""
    if not knows_issuers(api_version):
        return {}
    values = {name: getattr(enrollment, name) for name in _FORMS}
    return {name: UNSET if value is None else value for name, value in values.items()}
