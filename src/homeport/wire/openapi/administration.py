"""The operations under `/homeport/` by which the service itself is run: allocation, audit, events, administrators.

They need the rights on the service's configuration; devices and their enrollments are in `operations`.
"""

from typing import Any

from msgspec import UNSET

from homeport.wire import (
    dps_admin,
    dps_allocation,
    dps_journal,
    hub_administration,
    hub_event_hubs,
    hub_files,
    hub_routing,
    ip_filter,
)
from homeport.wire.openapi.operations import HOMEPORT, Operation


class ExplainRequest(dps_allocation.ExplainRequest, frozen=True, kw_only=True):
    """Which device; what is left out is taken from its record, or counts as unknown. `payload` is any JSON value."""

    payload: Any = UNSET


_CONFIG, _READ = "ServiceConfig", "ServiceConfigRead"


def at(
    path: str,
    method: str,
    name: str,
    summary: str,
    answer: Any,
    *,
    right: str = _CONFIG,
    status: int = 200,
    **more: Any,
) -> Operation:
    """Describe an operation under `/homeport/`; `answer` None is 204."""
    answers = {204: None} if answer is None else {status: answer}
    return Operation(method=method, path=f"/homeport/{path}", name=name, summary=summary, tag=HOMEPORT, right=right,
                     answers=answers, api_version=False, **more)  # fmt: skip


_ALLOCATION = (
    at("hubs/{name}/check", "post", "Hubs_Check", "Look now whether a hub's link works.", dps_admin.LinkedHub),
    at("allocation/settings", "get", "Allocation_GetSettings", "Default policy, regions and latencies.",
        dps_allocation.Settings),
    at("allocation/settings", "put", "Allocation_PutSettings", "Replace default policy, regions and latencies.",
        dps_allocation.Settings, body=dps_allocation.Settings),
    at("allocation/signingKeys", "get", "Allocation_GetSigningKeys", "The keys that webhook calls are signed with.",
        dps_allocation.SigningKeys),
    at("allocation/signingKeys/rotate", "post", "Allocation_RotateSigningKeys",
        "Sign with a new key; the one before stays as the secondary.", dps_allocation.SigningKeys),
    at("allocation/explain", "post", "Allocation_Explain", "Which hub a device would get, and why.",
        dps_allocation.Explanation, body=ExplainRequest),
    at("allocation/whatIf", "post", "Allocation_WhatIf", "Which devices would move under changes; nothing is changed.",
        dps_allocation.Comparison, body=dps_allocation.WhatIfRequest, paged=""),
)  # fmt: skip

_ONE = "administrators/{name}"
_ADMINISTRATORS = (
    at("me", "get", "Me", "Who the caller is, and what it may do.", dps_journal.Me, right=_READ),
    at("administrators", "get", "Administrators_List", "The administrators.", list[dps_journal.Administrator]),
    at(_ONE, "get", "Administrators_Get", "An administrator.", dps_journal.Administrator),
    at(_ONE, "put", "Administrators_Create", "Let an administrator in; the answer holds the token, this once.",
        dps_journal.Administrator, body=dps_journal.AdministratorCreation, status=201),
    at(_ONE, "patch", "Administrators_Update", "Change role or end.", dps_journal.Administrator,
        body=dps_journal.AdministratorChange),
    at(_ONE, "delete", "Administrators_Revoke", "Let an administrator in no more.", None),
    at(f"{_ONE}/token", "post", "Administrators_Renew", "Give a fresh token; the one before ends.",
        dps_journal.Administrator, body=dps_journal.AdministratorChange, body_required=False),
)  # fmt: skip

_AUDIT = (
    at("audit", "get", "Audit_List", "Entries of the journal, newest first.", list[dps_journal.AuditEntry],
        right=_READ, paged="", query=("kind", "subject", "since", "until", "order", "after")),
    at("audit/{number}", "get", "Audit_Get", "One entry.", dps_journal.AuditEntry, right=_READ),
    at("audit/head", "get", "Audit_Head", "The end of the chain, signed.", dps_journal.AuditHead, right=_READ),
    at("audit/verify", "post", "Audit_Verify", "Follow the chain, or its last entries.", dps_journal.AuditVerdict,
        right=_READ, query=("last",)),
)  # fmt: skip

_SUBSCRIPTION = "eventSubscriptions/{name}"
_EVENTS = (
    at("eventSubscriptions", "get", "EventSubscriptions_List", "Who is told of events, and how that goes.",
        list[dps_journal.Subscription], right=_READ),
    at(_SUBSCRIPTION, "get", "EventSubscriptions_Get", "A subscription.", dps_journal.Subscription, right=_READ),
    at(_SUBSCRIPTION, "put", "EventSubscriptions_Put", "Create or replace a subscription.", dps_journal.Subscription,
        body=dps_journal.SubscriptionRequest),
    at(_SUBSCRIPTION, "delete", "EventSubscriptions_Delete", "Tell a subscriber nothing more.", None),
    at(f"{_SUBSCRIPTION}/test", "post", "EventSubscriptions_Test", "Send a test event now.", dps_journal.Tried),
    at(f"{_SUBSCRIPTION}/replay", "post", "EventSubscriptions_Replay",
        "Send again: from behind an entry, or what was given up.", dps_journal.Replayed, body=dps_journal.Replay,
        body_required=False),
    at(f"{_SUBSCRIPTION}/deadLetters", "get", "EventSubscriptions_DeadLetters", "What was given up.",
        list[dps_journal.DeadLetter], right=_READ, paged=""),
)  # fmt: skip

_IP_FILTER = (
    at("ipFilter", "get", "IpFilter_Get", "Who may reach what, rule by rule.", ip_filter.Rules),
    at("ipFilter", "put", "IpFilter_Put", "Replace all rules; what would lock the caller out needs `force`.",
        ip_filter.Rules, body=ip_filter.Rules, if_match=True, query=("force",)),
    at("ipFilter/test/{address}", "get", "IpFilter_Test", "What the rules do with an address.", ip_filter.Decisions),
)  # fmt: skip

_CERTIFICATES, _CERTIFICATE = "hubs/{name}/certificates", "hubs/{name}/certificates/{certificateName}"
_QUEUES, _FILES = "hubs/{name}/cloudToDevice", "hubs/{name}/fileUpload"
_HUB_PARTS = (
    at(_CERTIFICATES, "get", "HubCertificates_List", "The CA certificates of a hub of this server.",
        hub_administration.CertificateList, right=_READ),
    at(_CERTIFICATE, "get", "HubCertificates_Get", "A hub's CA certificate.", hub_administration.Certificate,
        right=_READ),
    at(_CERTIFICATE, "put", "HubCertificates_CreateOrUpdate",
        "Upload a CA certificate to a hub; with If-Match, replace it.", hub_administration.Certificate,
        body=hub_administration.CertificateUpload, if_match=True),
    at(_CERTIFICATE, "delete", "HubCertificates_Delete", "Delete a hub's CA certificate; its devices are cut off.",
        None, if_match=True),
    at(f"{_CERTIFICATE}/generateVerificationCode", "post", "HubCertificates_GenerateVerificationCode",
        "Make the code that a proof of possession carries.", hub_administration.Certificate, if_match=True),
    at(f"{_CERTIFICATE}/verify", "post", "HubCertificates_Verify", "Prove possession of a CA's key.",
        hub_administration.Certificate, body=hub_administration.Verification, if_match=True),
    at(_QUEUES, "get", "HubQueues_Get", "How a hub keeps cloud-to-device messages and feedback.",
        hub_administration.CloudToDevice, right=_READ),
    at(_QUEUES, "put", "HubQueues_Put", "Change it; members that are left out stay.",
        hub_administration.CloudToDevice, body=hub_administration.CloudToDevice, if_match=True),
    at(_FILES, "get", "HubFiles_Get", "Where a hub keeps files of devices, and how to read them for an hour.",
        hub_files.Settings),
    at(f"{_FILES}/writable", "get", "HubFiles_GetWritable", "The same, with an address for an hour that writes, too.",
        hub_files.Settings),
    at(_FILES, "put", "HubFiles_Put", "Change it; members that are left out stay.", hub_files.Settings,
        body=hub_files.SettingsWrite),
)  # fmt: skip

_ROUTE = "hubs/{name}/routes/{route}"
_ENDPOINT = "hubs/{name}/endpoints/{endpoint}"
_ENRICHMENT = "hubs/{name}/enrichments/{key}"
_ROUTING = (
    at("hubs/{name}/routes", "get", "HubRoutes_List", "The routes of a hub, the fallback route last.",
        list[hub_routing.Route], right=_READ),
    at(_ROUTE, "get", "HubRoutes_Get", "A route.", hub_routing.Route, right=_READ),
    at(_ROUTE, "put", "HubRoutes_Put", "Make or replace a route; `$fallback` can be switched.", hub_routing.Route,
        body=hub_routing.RouteWrite),
    at(_ROUTE, "delete", "HubRoutes_Delete", "Remove a route.", None),
    at("hubs/{name}/testRoutes", "post", "HubRoutes_Test", "What routes would do with a message; nothing is sent.",
        hub_routing.RouteTestResult, body=hub_routing.RouteTest, right=_READ),
    at("hubs/{name}/endpoints", "get", "HubEndpoints_List", "Where routes can send messages, and how that goes.",
        list[hub_routing.Endpoint], right=_READ),
    at(_ENDPOINT, "get", "HubEndpoints_Get", "An endpoint.", hub_routing.Endpoint, right=_READ),
    at(_ENDPOINT, "put", "HubEndpoints_Put", "Make or replace an endpoint.", hub_routing.Endpoint,
        body=hub_routing.EndpointWrite),
    at(_ENDPOINT, "delete", "HubEndpoints_Delete", "Remove an endpoint and what waits in it.", None),
    at("hubs/{name}/enrichments", "get", "HubEnrichments_List", "What messages are given on their way.",
        list[hub_routing.Enrichment], right=_READ),
    at(_ENRICHMENT, "get", "HubEnrichments_Get", "An enrichment.", hub_routing.Enrichment, right=_READ),
    at(_ENRICHMENT, "put", "HubEnrichments_Put", "Make or replace an enrichment.", hub_routing.Enrichment,
        body=hub_routing.EnrichmentWrite),
    at(_ENRICHMENT, "delete", "HubEnrichments_Delete", "Remove an enrichment.", None),
)  # fmt: skip

_EVENT_HUB = "hubs/{name}/eventHubs/{endpoint}"
_EVENT_HUBS = (
    at("hubs/{name}/eventHubs", "get", "EventHubs_List", "The Event Hubs-compatible endpoints of a hub.",
        list[hub_event_hubs.EventHub], right=_READ),
    at(_EVENT_HUB, "get", "EventHubs_Get", "An endpoint; the built-in one is `events`.", hub_event_hubs.EventHub,
        right=_READ),
    at(_EVENT_HUB, "patch", "EventHubs_Update", "Change how long an endpoint keeps events, and how much.",
        hub_event_hubs.EventHub, body=hub_event_hubs.EventHubChange),
    at(f"{_EVENT_HUB}/consumerGroups", "get", "ConsumerGroups_List", "The consumer groups of an endpoint.",
        list[hub_event_hubs.ConsumerGroup], right=_READ),
    at(f"{_EVENT_HUB}/consumerGroups/{{group}}", "put", "ConsumerGroups_Create", "Make a consumer group.",
        hub_event_hubs.ConsumerGroup),
    at(f"{_EVENT_HUB}/consumerGroups/{{group}}", "delete", "ConsumerGroups_Delete", "Remove a consumer group.", None),
)  # fmt: skip

ADMINISTRATION: tuple[Operation, ...] = (
    *_HUB_PARTS, *_ALLOCATION, *_ADMINISTRATORS, *_AUDIT, *_EVENTS, *_IP_FILTER, *_ROUTING, *_EVENT_HUBS
)  # fmt: skip
