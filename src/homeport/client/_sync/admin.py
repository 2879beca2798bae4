# Made by scripts/unasync.py: change its twin in _async instead.
"""The client of what only Homeport has (`/homeport/`): attempts, hubs, allocation, the IP filter.

Certificate authorities that devices' chains end at are in `certificates`, those that issue in `issuing`, policies in
`policies`; audit, events and administrators in `journal`; Event Hubs-compatible endpoints in `event_hubs`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from homeport.client._sync.certificates import CertificateCalls
from homeport.client._sync.event_hubs import EventHubClient
from homeport.client._sync.faults import FaultClient
from homeport.client._sync.http import only, segment
from homeport.client._sync.hub_routing import RoutingCalls
from homeport.client._sync.hub_settings import HubSettings
from homeport.client._sync.issuing import IssuingAdministration
from homeport.client._sync.journal import JournalClient
from homeport.client._sync.policies import PolicyClient
from homeport.client.admin_models import (
    Attempt,
    IpFilter,
    IpFilterDecision,
    IpFilterRule,
    LinkedHub,
    Registration,
)
from homeport.client.allocation_models import (
    AllocationComparison,
    AllocationExplanation,
    AllocationSettings,
    WebhookSigningKeys,
)
from homeport.client.answers import decode
from homeport.client.models import EnrollmentGroup, IndividualEnrollment, Page
from homeport.client.policy_models import Counts

_ALLOCATION = "/homeport/allocation"
_HUBS = "/homeport/hubs"
_IP_FILTER = "/homeport/ipFilter"
_ATTEMPTS = "/homeport/attempts"
_REGISTRATIONS = "/homeport/registrations"


class _IpFilterTest(msgspec.Struct):
    decisions: list[IpFilterDecision]


class HomeportAdminClient(
    CertificateCalls,
    EventHubClient,
    FaultClient,
    HubSettings,
    IssuingAdministration,
    JournalClient,
    PolicyClient,
    RoutingCalls,
):
    """Administration beside Azure's API; made of the service's connection string or an administrator's token.

    Every method raises ProvisioningServiceError or TransportError.
    """

    API_VERSION: ClassVar[str] = "2021-10-01"

    # --- why --------------------------------------------------------------------------------------------------

    def why(self, registration_id: str, *, limit: int = 20) -> list[Attempt]:
        """Return a device's last attempts to register, newest first; none if it was never heard of."""
        path = f"/homeport/why/{segment(registration_id)}"
        response = self._session.send("GET", path, query={"limit": str(limit)}, repeatable=True)
        return decode(response.content, list[Attempt])

    def find_attempt(self, tracking_id: str) -> Attempt:
        """Return the attempt that a device was told this tracking id of. NotFoundError if there is none."""
        return self._get(f"{_ATTEMPTS}/{segment(tracking_id)}", Attempt)

    def attempts(self, *, page_size: int | None = None) -> Iterator[Attempt]:
        """Yield the attempts of all devices, newest first."""
        return self._every(_ATTEMPTS, Attempt, method="GET", page_size=page_size)

    def page_attempts(self, *, page_size: int | None = None, continuation: str | None = None) -> Page[Attempt]:
        """Return one page, newest first; `continuation` is that of the page before."""
        return self._page(_ATTEMPTS, Attempt, method="GET", page_size=page_size, continuation=continuation)

    # --- registrations ----------------------------------------------------------------------------------------

    def registrations(self, query: str = "", *, page_size: int | None = None) -> Iterator[Registration]:
        """Yield the registrations of all devices, or those that a query asks for."""
        return self._every(f"{_REGISTRATIONS}/query", Registration, query=query, page_size=page_size)

    def page_registrations(
        self, query: str = "", *, page_size: int | None = None, continuation: str | None = None
    ) -> Page[Registration]:
        """Return one page; `continuation` is that of the page before, of the same query."""
        return self._page(
            f"{_REGISTRATIONS}/query", Registration, query=query, page_size=page_size, continuation=continuation
        )

    def counts(self) -> Counts:
        """Return how many enrollments, groups and registrations there are."""
        return self._get("/homeport/counts", Counts)

    # --- export -----------------------------------------------------------------------------------------------

    def export_individual_enrollments(self, *, page_size: int | None = None) -> Iterator[IndividualEnrollment]:
        """Yield every enrollment whole, with its keys and certificates, by id. Needs EnrollmentWrite."""
        return self._every("/homeport/export/enrollments", IndividualEnrollment, method="GET", page_size=page_size)

    def export_enrollment_groups(self, *, page_size: int | None = None) -> Iterator[EnrollmentGroup]:
        """Yield every group whole, with its keys and certificates, by id. Needs EnrollmentWrite."""
        return self._every("/homeport/export/enrollmentGroups", EnrollmentGroup, method="GET", page_size=page_size)

    # --- hubs -------------------------------------------------------------------------------------------------

    def hubs(self) -> list[LinkedHub]:
        """Return every linked hub, by name."""
        return self._get(_HUBS, list[LinkedHub])

    def create_hub(self, name: str, *, host_names: Sequence[str], allocation_weight: int = 1) -> LinkedHub:
        """Make a hub that this Homeport serves under these names, and link it. ConflictError if it exists."""
        document = {"hostNames": list(host_names), "allocationWeight": allocation_weight}
        return self._write_hub("PUT", name, document)

    def link_hub(
        self,
        name: str,
        *,
        connection_string: str,
        allocation_weight: int = 1,
        ca_certificates: str | None = None,
    ) -> LinkedHub:
        """Link a hub that runs elsewhere, Azure's or another Homeport's. ConflictError if it is linked already.

        Its connection string needs RegistryRead, RegistryWrite and ServiceConnect. `ca_certificates` (PEM text) are
        trusted when speaking to it, besides the system's authorities.
        """
        document: dict[str, Any] = {"connectionString": connection_string, "allocationWeight": allocation_weight}
        if ca_certificates is not None:
            document["caCertificates"] = ca_certificates
        return self._write_hub("PUT", name, document)

    def update_hub(
        self,
        name: str,
        *,
        allocation_weight: int | None = None,
        apply_allocation_policy: bool | None = None,
        draining: bool | None = None,
        max_devices: int | None = None,
        region: str | None = None,
    ) -> LinkedHub:
        """Change how a linked hub takes part in allocation; None leaves a value as it is.

        A drained hub, or one with `max_devices`, takes no new devices. `max_devices` 0 takes the limit away, an empty
        `region` the region.
        """
        wanted = {
            "allocationWeight": allocation_weight,
            "applyAllocationPolicy": apply_allocation_policy,
            "draining": draining,
            "maxDevices": max_devices,
            "region": region,
        }
        document = {member: value for member, value in wanted.items() if value is not None}
        return self._write_hub("PATCH", name, document)

    def check_hub(self, name: str) -> LinkedHub:
        """Have the server look at a link now: reachable or not, credentials and rights sufficient or not."""
        response = self._session.send("POST", f"{_HUBS}/{segment(name)}/check", repeatable=True)
        return decode(response.content, LinkedHub)

    def unlink_hub(self, name: str) -> None:
        """Assign no more devices to a hub; those that live there stay. NotFoundError if it is not linked."""
        self._session.send("DELETE", f"{_HUBS}/{segment(name)}", repeatable=True)

    # --- allocation -------------------------------------------------------------------------------------------

    def allocation_settings(self) -> AllocationSettings:
        """Return what is set for the whole service: default policy, regions, latencies."""
        return self._get(f"{_ALLOCATION}/settings", AllocationSettings)

    def put_allocation_settings(self, settings: AllocationSettings) -> AllocationSettings:
        """Replace the settings; they count for registrations from now on."""
        response = self._session.send(
            "PUT", f"{_ALLOCATION}/settings", body=msgspec.json.encode(settings), repeatable=True
        )
        return decode(response.content, AllocationSettings)

    def webhook_signing_keys(self, *, rotate: bool = False) -> WebhookSigningKeys:
        """Return the keys that webhook requests are signed with; `rotate` makes a new primary one first."""
        if not rotate:
            return self._get(f"{_ALLOCATION}/signingKeys", WebhookSigningKeys)
        response = self._session.send("POST", f"{_ALLOCATION}/signingKeys/rotate", repeatable=False)
        return decode(response.content, WebhookSigningKeys)

    def explain_allocation(
        self,
        registration_id: str,
        *,
        group_id: str | None = None,
        payload: Any = None,
        remote_address: str | None = None,
    ) -> AllocationExplanation:
        """Say where a device would go if it registered now, and why; nothing is assigned.

        Without `group_id`, its individual enrollment counts, or the group it last came through. NotFoundError if
        there is neither.
        """
        wanted = {
            "registrationId": registration_id,
            "enrollmentGroupId": group_id,
            "payload": payload,
            "remoteAddress": remote_address,
        }
        document = {member: value for member, value in wanted.items() if value is not None}
        response = self._session.send(
            "POST", f"{_ALLOCATION}/explain", body=msgspec.json.encode(document), repeatable=True
        )
        return decode(response.content, AllocationExplanation)

    def compare_allocation(
        self,
        *,
        weights: Mapping[str, int] | None = None,
        without: Sequence[str] = (),
        drained: Sequence[str] = (),
        policy: str | None = None,
        part_size: int = 1000,
    ) -> Iterator[AllocationComparison]:
        """Say which devices would move if hubs had these weights, were gone or drained, or the policy was another.

        Yields parts of `part_size` registrations each; `ComparisonTotals` adds them up. Nothing is assigned.
        """
        document: dict[str, Any] = {"weights": weights or {}, "without": without, "drained": drained}
        if policy is not None:
            document["policy"] = policy
        body = msgspec.json.encode(document)
        continuation: str | None = None
        while True:
            response = self._session.send(
                "POST",
                f"{_ALLOCATION}/whatIf",
                body=body,
                headers=only({"x-ms-max-item-count": str(part_size), "x-ms-continuation": continuation}),
                repeatable=True,
            )
            yield decode(response.content, AllocationComparison)
            continuation = response.headers.get("x-ms-continuation")
            if continuation is None:
                return

    # --- ip filter --------------------------------------------------------------------------------------------

    def ip_filter(self) -> IpFilter:
        """Return the IP filter's rules in their order."""
        return self._get(_IP_FILTER, IpFilter)

    def set_ip_filter(self, rules: Sequence[IpFilterRule], *, etag: str | None = None, force: bool = False) -> IpFilter:
        """Replace all rules; every process obeys them within two seconds.

        PreconditionFailedError if `etag` is given and the rules were changed since; BadRequestError if a rule cannot
        be used or, without `force`, if administrators would be locked out.
        """
        response = self._session.send(
            "PUT",
            _IP_FILTER,
            query={"force": "true"} if force else {},
            body=msgspec.json.encode({"rules": rules}),
            headers=only({"If-Match": etag}),
            repeatable=etag is None,
        )
        return decode(response.content, IpFilter)

    def test_ip_filter(self, address: str) -> list[IpFilterDecision]:
        """Return what the rules do with an address, for each target."""
        path = f"{_IP_FILTER}/test/{segment(address)}"
        response = self._session.send("GET", path, repeatable=True)
        return decode(response.content, _IpFilterTest).decisions

    def _write_hub(self, method: str, name: str, document: dict[str, Any]) -> LinkedHub:
        response = self._session.send(
            method,
            f"{_HUBS}/{segment(name)}",
            body=msgspec.json.encode(document),
            repeatable=method == "PATCH",
        )
        return decode(response.content, LinkedHub)
