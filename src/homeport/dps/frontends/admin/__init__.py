"""Administrators over HTTPS, beside Azure's API (`/homeport/…`): one front-end, a module for each noun."""

from homeport.dps.frontends.admin.administrators import AdministratorsResource
from homeport.dps.frontends.admin.allocation import AllocationResource
from homeport.dps.frontends.admin.attempts import AttemptsResource
from homeport.dps.frontends.admin.audit import AuditResource
from homeport.dps.frontends.admin.authorities import AuthoritiesResource, CertificatePoliciesResource
from homeport.dps.frontends.admin.certificates import CertificatesResource
from homeport.dps.frontends.admin.counts import CountsResource
from homeport.dps.frontends.admin.event_hubs import EventHubsResource
from homeport.dps.frontends.admin.export import ExportResource
from homeport.dps.frontends.admin.faults import FaultsResource
from homeport.dps.frontends.admin.frontend import AdminFrontEnd
from homeport.dps.frontends.admin.hubs import HubPart, HubsResource
from homeport.dps.frontends.admin.ip_filter import IpFilterResource
from homeport.dps.frontends.admin.issued_certificates import IssuedCertificatesResource
from homeport.dps.frontends.admin.policies import PoliciesResource
from homeport.dps.frontends.admin.registrations import RegistrationsResource
from homeport.dps.frontends.admin.resource import AdminRequest, AdminResource, Calls
from homeport.dps.frontends.admin.subscriptions import SubscriptionsResource

__all__ = [
    "AdminFrontEnd",
    "AdminRequest",
    "AdminResource",
    "AdministratorsResource",
    "AllocationResource",
    "AttemptsResource",
    "AuditResource",
    "AuthoritiesResource",
    "Calls",
    "CertificatePoliciesResource",
    "CertificatesResource",
    "CountsResource",
    "EventHubsResource",
    "ExportResource",
    "FaultsResource",
    "HubPart",
    "HubsResource",
    "IpFilterResource",
    "IssuedCertificatesResource",
    "PoliciesResource",
    "RegistrationsResource",
    "SubscriptionsResource",
]
