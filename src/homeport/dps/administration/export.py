"""Enrollments whole, with what the service API leaves out: keys and certificates, for moving them elsewhere."""

import base64
import textwrap

from msgspec import UNSET
from msgspec.structs import replace

from homeport.dps.enrollments import EnrollmentService
from homeport.dps.listing import Paging, listing
from homeport.dps.model import Attestation, ClientCertificates, SigningCertificates
from homeport.dps.reply import Reply
from homeport.dps.translate_service import group_document, individual_document
from homeport.wire import dps_service as wire


class ExportResponder:
    def __init__(self, enrollments: EnrollmentService) -> None:
        self._search = enrollments.search

    async def individuals(self, paging: Paging, tracking_id: str) -> Reply:
        """Answer with a page of individual enrollments, in id order, secrets included."""
        name = "export of enrollments"
        page = await self._search.individuals("", after=paging.after(name), limit=paging.limit)
        documents = [
            replace(
                document := individual_document(item, secrets=True),
                attestation=_with_certificates(document.attestation, item.attestation),
            )
            for item in page.items
        ]
        return listing(page, documents, name, tracking_id, item_type="Enrollment")

    async def groups(self, paging: Paging, tracking_id: str) -> Reply:
        """Answer with a page of enrollment groups, in id order, secrets included."""
        name = "export of groups"
        page = await self._search.groups("", after=paging.after(name), limit=paging.limit)
        documents = [
            replace(
                document := group_document(item, secrets=True),
                attestation=_with_certificates(document.attestation, item.attestation),
            )
            for item in page.items
        ]
        return listing(page, documents, name, tracking_id, item_type="EnrollmentGroup")


def _with_certificates(document: wire.AttestationMechanism, attestation: Attestation) -> wire.AttestationMechanism:
    """Put the certificates in that the service API only describes; a place that was left empty stays so."""
    if not isinstance(attestation, ClientCertificates | SigningCertificates):
        return document
    certificates = wire.Certificates(
        primary=wire.CertificateWithInfo(certificate=_pem(attestation.primary)),
        secondary=(
            UNSET
            if attestation.secondary is None
            else wire.CertificateWithInfo(certificate=_pem(attestation.secondary))
        ),
    )
    if isinstance(attestation, ClientCertificates):
        return replace(document, x509=wire.X509Mechanism(client_certificates=certificates))
    return replace(document, x509=wire.X509Mechanism(signing_certificates=certificates))


def _pem(der: bytes) -> str:
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode("ascii"), 64))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
