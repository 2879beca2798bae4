"""What depends on the api-version, or on which client speaks: facts, in one place (contract dps.md 1.6, 4.4).

Who acts on them is decided elsewhere.
"""

import re

from msgspec import Struct

_FORM = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?", re.ASCII)

LAST_VERSION_WITHOUT_REPROVISIONING = "2018-04-01"
"""Devices of this version or older keep their hub where the enrollment has no reprovision policy (dps.md 9.4)."""

NEWEST_DEVICE_VERSION = "2026-11-01"
"""What a device is taken to speak where its own version does not matter yet (contract dps.md 1.6)."""

FIRST_VERSION_WITH_CERTIFICATE_REQUESTS = "2025-07-01"
"""`csr` in the register body (contract dps.md 13.1)."""

FIRST_VERSION_WITH_ISSUERS = "2026-11-01"
"""`namespaceName`, `certificateAuthorityName` and `certificatePolicyName` of enrollments (contract dps.md 13.1)."""

NEWEST_VERSION = FIRST_VERSION_WITH_ISSUERS
"""The newest stable api-version: documents of it leave nothing out."""


class ClientPattern(Struct, frozen=True, kw_only=True):
    """Some clients: those whose version text begins so and whose api-version is one of these (empty: any)."""

    client_version_prefix: str = ""
    api_versions: frozenset[str] = frozenset()

    def covers(self, api_version: str, client_version: str | None) -> bool:
        """Tell whether a client is one of them; versions compare without case."""
        version = (client_version or "").lower()
        return version.startswith(self.client_version_prefix.lower()) and (
            not self.api_versions or api_version in self.api_versions
        )


HEARS_ASSIGNING_FIRST: tuple[ClientPattern, ...] = ()
"""Clients whose register answer must not be final. None is known: every released SDK takes a final one (dps.md 3.2)."""

WAITS_AFTER_SENDING: tuple[ClientPattern, ...] = (
    # Java: over MQTT it repeats the api-version as its client version, or names itself in full.
    ClientPattern(client_version_prefix="2019-03-31"),
    ClientPattern(client_version_prefix="com.microsoft.azure.sdk.iot"),
)
"""Clients that begin to wait for an answer only after they have sent, and miss one that overtakes (dps.md 4.4)."""


def is_api_version(text: str) -> bool:
    """Tell whether this is `YYYY-MM-DD`, with or without `-preview`; every such value is served."""
    return len(text) <= 18 and _FORM.fullmatch(text) is not None


def keeps_hub_without_policy(api_version: str) -> bool:
    """Tell whether a device of this api-version stays on its hub when no reprovision policy is set."""
    return api_version[:10] <= LAST_VERSION_WITHOUT_REPROVISIONING


def knows_certificate_requests(api_version: str) -> bool:
    """Tell whether `csr` means something in this api-version; in older ones it is an unknown member."""
    return api_version[:10] >= FIRST_VERSION_WITH_CERTIFICATE_REQUESTS


def knows_issuers(api_version: str) -> bool:
    """Tell whether enrollments of this api-version say who issues certificates; in older ones nobody is told."""
    return api_version[:10] >= FIRST_VERSION_WITH_ISSUERS


def hears_assigning_first(api_version: str, client_version: str | None) -> bool:
    """Tell whether this client must be told to poll even though the result is known."""
    return any(pattern.covers(api_version, client_version) for pattern in HEARS_ASSIGNING_FIRST)


def waits_after_sending(api_version: str, client_version: str | None) -> bool:
    """Tell whether an answer to this client must not come at once."""
    return any(pattern.covers(api_version, client_version) for pattern in WAITS_AFTER_SENDING)
