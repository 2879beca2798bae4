"""What only Homeport tells and takes, under `/homeport/`: a module for each noun.

Methods raise HomeportError; `reply.answer` around them makes the error body.
"""

from homeport.dps.administration.administrators import AdministratorsResponder
from homeport.dps.administration.allocation import AllocationResponder
from homeport.dps.administration.attempts import AttemptsResponder
from homeport.dps.administration.audit import AuditResponder
from homeport.dps.administration.authorities import AuthoritiesResponder, CertificatePoliciesResponder
from homeport.dps.administration.certificates import CertificatesResponder
from homeport.dps.administration.counts import CountsResponder
from homeport.dps.administration.event_hubs import EventHubAdministration, EventHubsResponder
from homeport.dps.administration.export import ExportResponder
from homeport.dps.administration.faults import FaultHubs, FaultsResponder
from homeport.dps.administration.hubs import HubsResponder
from homeport.dps.administration.ip_filter import IpFilterResponder, IpFilterStore
from homeport.dps.administration.issued_certificates import IssuedCertificatesResponder
from homeport.dps.administration.policies import PoliciesResponder
from homeport.dps.administration.registrations import RegistrationsResponder
from homeport.dps.administration.subscriptions import SubscriptionsResponder

__all__ = [
    "AdministratorsResponder",
    "AllocationResponder",
    "AttemptsResponder",
    "AuditResponder",
    "AuthoritiesResponder",
    "CertificatePoliciesResponder",
    "CertificatesResponder",
    "CountsResponder",
    "EventHubAdministration",
    "EventHubsResponder",
    "ExportResponder",
    "FaultHubs",
    "FaultsResponder",
    "HubsResponder",
    "IpFilterResponder",
    "IpFilterStore",
    "IssuedCertificatesResponder",
    "PoliciesResponder",
    "RegistrationsResponder",
    "SubscriptionsResponder",
]
