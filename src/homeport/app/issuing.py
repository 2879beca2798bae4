"""Puts together what issues certificates: custody of the keys, the services, and their place in the site."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from homeport.app.config import Config
from homeport.app.directory import DataDirectory, DirectoryError
from homeport.clock import Clock
from homeport.custody import Custody, MasterKeys, MasterKeysError, Tokens
from homeport.dps.administration import AuthoritiesResponder, CertificatePoliciesResponder, IssuedCertificatesResponder
from homeport.dps.frontends.admin import (
    AdminResource,
    AuthoritiesResource,
    CertificatePoliciesResource,
    IssuedCertificatesResource,
)
from homeport.dps.frontends.http_public import PublicCertificatesFrontEnd
from homeport.dps.issuing.authorities import AuthorityService
from homeport.dps.issuing.issuance import Issuer
from homeport.dps.issuing.master_key import MasterKeyService
from homeport.dps.issuing.policies import CertificatePolicyService
from homeport.dps.issuing.ports import CustodyError
from homeport.dps.issuing.revocation import RevocationService
from homeport.dps.ports import HubLinks
from homeport.net.sites import HttpFrontEnd
from homeport.security.explain import server_time
from homeport.security.policies import Random
from homeport.store import Stores

EXPIRES_SOON = timedelta(days=60)

_log = logging.getLogger(__name__)


class Issuing(Struct, frozen=True, kw_only=True):
    """What the rest of the server needs of it."""

    issuer: Issuer
    authorities: AuthorityService
    policies: CertificatePolicyService
    revocations: RevocationService
    resources: Sequence[AdminResource]
    http: Sequence[HttpFrontEnd]


def open_custody(config: Config, directory: DataDirectory, random: Random) -> Custody:
    """Read the master key, made on the first start, and load the PKCS#11 module. Raises DirectoryError."""
    try:
        if config.master_key is not None:
            keys = MasterKeys.of_text(config.master_key)
        elif config.master_key_file is not None:
            keys = MasterKeys.of_file(Path(config.master_key_file).expanduser())
        else:
            keys = MasterKeys.of_file(directory.master_key_file, random=random)
        tokens = None
        if config.pkcs11_module is not None:
            tokens = Tokens(Path(config.pkcs11_module), _pin(config))
    except (MasterKeysError, CustodyError) as error:
        raise DirectoryError(f"{str(error)[0].upper()}{str(error)[1:]}.") from error
    return Custody(keys, random=random, tokens=tokens)


def make_issuing(stores: Stores, custody: Custody, links: HubLinks, *, clock: Clock, random: Random) -> Issuing:
    """Make the services over the store and the keys in custody."""
    authorities = AuthorityService(
        authorities=stores.authorities,
        policies=stores.certificate_policies,
        issued=stores.issued_certificates,
        custody=custody,
        clock=clock,
        random=random,
    )
    policies = CertificatePolicyService(
        policies=stores.certificate_policies, authorities=stores.authorities, clock=clock, random=random
    )
    revocations = RevocationService(
        issued=stores.issued_certificates,
        authorities=stores.authorities,
        registrations=stores.registrations,
        hubs=stores.linked_hubs,
        links=links,
        custody=custody,
        clock=clock,
    )
    master_key = MasterKeyService(authorities=stores.authorities, keys=custody, journal=stores.journal, random=random)
    return Issuing(
        issuer=Issuer(
            authorities=stores.authorities,
            policies=stores.certificate_policies,
            issued=stores.issued_certificates,
            custody=custody,
            clock=clock,
            random=random,
        ),
        authorities=authorities,
        policies=policies,
        revocations=revocations,
        resources=(
            AuthoritiesResource(AuthoritiesResponder(authorities, revocations, master_key)),
            CertificatePoliciesResource(CertificatePoliciesResponder(policies, clock)),
            IssuedCertificatesResource(IssuedCertificatesResponder(revocations, clock)),
        ),
        http=(PublicCertificatesFrontEnd(authorities, revocations, clock=clock, random=random),),
    )


async def warn_of_authorities(stores: Stores, custody: Custody, now: datetime) -> None:
    """Say at the start which authorities cannot issue, or not for long, rather than when the first device asks."""
    for authority in await stores.authorities.all():
        try:
            await custody.use(authority.active.key, lambda _: None)
        except CustodyError as error:
            _log.error("certificate authority %s cannot issue: %s", authority.name, error)
        if authority.active.not_after - now < EXPIRES_SOON:
            _log.warning(
                "certificate authority %s ends at %s: rotate it, `homeport authority rotate %s`",
                authority.name,
                server_time(authority.active.not_after),
                authority.name,
            )


def _pin(config: Config) -> str | None:
    if config.pkcs11_pin_file is None:
        return config.pkcs11_pin
    path = Path(config.pkcs11_pin_file).expanduser()
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CustodyError(f"the PIN file {path} cannot be read") from error
