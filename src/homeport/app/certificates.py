"""Puts together what knows certificate authorities: revocation, expiry, administration."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct

from homeport.app.ops import Metrics
from homeport.app.protection import Protection
from homeport.clock import Clock
from homeport.dps.administration import CertificatesResponder
from homeport.dps.ca_certificates import CaCertificateService
from homeport.dps.expiry import ExpiryWatch
from homeport.dps.frontends.authorization import Authorization, FindAdministrator, Policies
from homeport.dps.frontends.http_crl import MAX_UPLOAD, CrlFrontEnd
from homeport.dps.ports import RevocationFetcher
from homeport.dps.revocation import CrlKeeper, CrlShelf, Responders, Revocation
from homeport.net.sites import Site
from homeport.security.ip_filter import Door
from homeport.security.policies import Random
from homeport.store import Stores


class Authorities(Struct, frozen=True, kw_only=True):
    """The parts that others use."""

    revocation: Revocation
    responder: CertificatesResponder
    background: Sequence[Callable[[], Coroutine[Any, Any, None]]]


def authorities(
    stores: Stores, metrics: Metrics, fetcher: RevocationFetcher, *, limit: int, clock: Clock, random: Random
) -> Authorities:
    """Make them over the store; `limit` is how many CA certificates may be uploaded."""
    shelf = CrlShelf(stores.crls, clock)
    keeper = CrlKeeper(stores.ca_certificates, shelf, fetcher, clock)
    expiry = ExpiryWatch(stores.ca_certificates, stores.enrollments, clock, scanned=metrics.expiry)
    service = CaCertificateService(
        certificates=stores.ca_certificates,
        enrollments=stores.enrollments,
        shelf=shelf,
        keeper=keeper,
        clock=clock,
        random=random,
        limit=limit,
    )
    return Authorities(
        revocation=Revocation(shelf, Responders(fetcher, clock, random), keeper, clock),
        responder=CertificatesResponder(service, expiry, clock),
        background=(keeper.run, expiry.run),
    )


def crl_site(
    names: Sequence[str],
    parts: Authorities,
    policies: Policies,
    guard: Protection,
    administrators: FindAdministrator,
    *,
    clock: Clock,
    random: Random,
) -> Site:
    """Make the site that takes revocation lists; it goes before the provisioning service's, whose names it shares."""
    authorization = Authorization(
        policies=policies,
        hosts=lambda: names,
        clock=clock,
        admission=guard.admission,
        administrators=administrators,
    )
    upload = CrlFrontEnd(parts.responder, authorization, clock=clock, random=random)
    return Site(names=frozenset(names), http=(guard.screen.http(upload, Door.SERVICE),), max_body=MAX_UPLOAD)
