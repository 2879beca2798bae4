# Made by scripts/unasync.py: change its twin in _async instead.
"""The part of the administration client that is about issuing certificates to devices."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from homeport.client._sync.http import only, segment
from homeport.client._sync.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.issuing_models import (
    CertificateAuthority,
    CertificatePolicy,
    IssuedCertificate,
    MasterKey,
    RevocationList,
)
from homeport.client.models import Page

T = TypeVar("T")

_AUTHORITIES = "/homeport/certificateAuthorities"
_POLICIES = "/homeport/certificatePolicies"
_ISSUED = "/homeport/issuedCertificates"


class IssuingAdministration(ServiceClient):
    """Authorities, policies, issued certificates. Every method raises ProvisioningServiceError or TransportError."""

    # --- authorities ------------------------------------------------------------------------------------------

    def certificate_authorities(self) -> list[CertificateAuthority]:
        """Return every issuing authority, by name."""
        return self._get(_AUTHORITIES, list[CertificateAuthority])

    def get_certificate_authority(self, name: str) -> CertificateAuthority:
        """Return an authority. NotFoundError if there is none."""
        return self._get(f"{_AUTHORITIES}/{segment(name)}", CertificateAuthority)

    def create_certificate_authority(
        self,
        name: str,
        *,
        issuer: str | None = None,
        key_type: str | None = None,
        key_uri: str | None = None,
        common_name: str | None = None,
        organization: str | None = None,
        validity: timedelta | None = None,
        path_length: int | None = None,
        maximum_validity: timedelta | None = None,
        crl_url: str | None = None,
    ) -> CertificateAuthority:
        """Make a root, or with `issuer` an intermediate under it. ConflictError if the name is taken.

        `key_type` is `EC-P256` unless said otherwise. `key_uri` (`pkcs11:token=…;object=…`) keeps the key in a
        token. `maximum_validity` bounds the devices' certificates; `crl_url` is written into them.
        """
        document = {
            "issuer": issuer,
            "keyType": key_type,
            "keyUri": key_uri,
            "commonName": common_name,
            "organization": organization,
            "validitySeconds": _seconds(validity),
            "pathLength": path_length,
            "maximumValiditySeconds": _seconds(maximum_validity),
            "crlUrl": crl_url,
        }
        return self._write("PUT", f"{_AUTHORITIES}/{segment(name)}", document, CertificateAuthority)

    def import_certificate_authority(
        self,
        name: str,
        *,
        certificates: str,
        private_key: str | None = None,
        key_uri: str | None = None,
        maximum_validity: timedelta | None = None,
        crl_url: str | None = None,
    ) -> CertificateAuthority:
        """Bring an authority: PEM of its certificate and those above it up to the root, and its key.

        The key is given as unencrypted PEM, or as the URI of one in a token.
        """
        document = {
            "certificates": certificates,
            "privateKey": private_key,
            "keyUri": key_uri,
            "maximumValiditySeconds": _seconds(maximum_validity),
            "crlUrl": crl_url,
        }
        return self._write("PUT", f"{_AUTHORITIES}/{segment(name)}", document, CertificateAuthority)

    def rotate_certificate_authority(
        self,
        name: str,
        *,
        certificates: str | None = None,
        private_key: str | None = None,
        key_uri: str | None = None,
    ) -> CertificateAuthority:
        """Issue by a new key and certificate from now on; what the old one issued stays valid.

        For an authority that was brought, give the next certificates and key.
        """
        document = {"certificates": certificates, "privateKey": private_key, "keyUri": key_uri}
        return self._write("POST", f"{_AUTHORITIES}/{segment(name)}/rotate", document, CertificateAuthority)

    def delete_certificate_authority(self, name: str) -> None:
        """Forget an authority and its keys. ConflictError while something refers to it."""
        self._session.send("DELETE", f"{_AUTHORITIES}/{segment(name)}", repeatable=True)

    def get_certificate_chain(self, name: str, *, version: int | None = None) -> str:
        """Return the PEM of an authority's certificate and of those above it."""
        document = self._ask(f"{_AUTHORITIES}/{segment(name)}/chain", {"version": version}, dict[str, Any])
        return str(document.get("certificates", ""))

    def get_revocation_list(self, name: str, *, version: int | None = None) -> RevocationList:
        """Return the newest revocation list, of the version that issues unless said otherwise."""
        return self._ask(f"{_AUTHORITIES}/{segment(name)}/crl", {"version": version}, RevocationList)

    def rotate_master_key(self) -> MasterKey:
        """Seal the private keys of all authorities under a new master key."""
        return self._write("POST", "/homeport/masterKey/rotate", {}, MasterKey)

    # --- policies ---------------------------------------------------------------------------------------------

    def certificate_policies(self) -> list[CertificatePolicy]:
        """Return every certificate policy, by name."""
        return self._get(_POLICIES, list[CertificatePolicy])

    def get_certificate_policy(self, name: str) -> CertificatePolicy:
        """Return a policy. NotFoundError if there is none."""
        return self._get(f"{_POLICIES}/{segment(name)}", CertificatePolicy)

    def put_certificate_policy(
        self,
        name: str,
        *,
        authority: str,
        validity: timedelta | None = None,
        backdate: timedelta | None = None,
        renew_before: timedelta | None = None,
        key_types: Sequence[str] | None = None,
        organization: str | None = None,
        organizational_unit: str | None = None,
        dns_name: bool = False,
        extended_key_usages: Sequence[str] | None = None,
    ) -> CertificatePolicy:
        """Create a policy or replace it as a whole; None takes the service's default."""
        document = {
            "certificateAuthorityName": authority,
            "validitySeconds": _seconds(validity),
            "backdateSeconds": _seconds(backdate),
            "renewBeforeSeconds": _seconds(renew_before),
            "keyTypes": None if key_types is None else list(key_types),
            "organization": organization,
            "organizationalUnit": organizational_unit,
            "dnsName": dns_name,
            "extendedKeyUsages": None if extended_key_usages is None else list(extended_key_usages),
        }
        return self._write("PUT", f"{_POLICIES}/{segment(name)}", document, CertificatePolicy, repeatable=True)

    def delete_certificate_policy(self, name: str) -> None:
        """Forget a policy. ConflictError while an enrollment names it."""
        self._session.send("DELETE", f"{_POLICIES}/{segment(name)}", repeatable=True)

    # --- issued certificates ----------------------------------------------------------------------------------

    def issued_certificates(
        self,
        *,
        registration_id: str | None = None,
        authority: str | None = None,
        ends_within: timedelta | None = None,
        page_size: int | None = None,
    ) -> Iterator[IssuedCertificate]:
        """Yield issued certificates, those that expire first first; `ends_within` leaves out the expired ones."""
        continuation = None
        while True:
            page = self.page_issued_certificates(
                registration_id=registration_id,
                authority=authority,
                ends_within=ends_within,
                page_size=page_size,
                continuation=continuation,
            )
            yield from page.items
            continuation = page.continuation
            if continuation is None:
                return

    def page_issued_certificates(
        self,
        *,
        registration_id: str | None = None,
        authority: str | None = None,
        ends_within: timedelta | None = None,
        page_size: int | None = None,
        continuation: str | None = None,
    ) -> Page[IssuedCertificate]:
        """Return one page; `continuation` is that of the page before, with the same filters."""
        size = None if page_size is None else str(page_size)
        wanted = {
            "registrationId": registration_id,
            "certificateAuthorityName": authority,
            "endsWithinSeconds": _seconds(ends_within),
        }
        response = self._session.send(
            "GET",
            _ISSUED,
            headers=only({"x-ms-max-item-count": size, "x-ms-continuation": continuation}),
            query=_given(wanted),
            repeatable=True,
        )
        return Page(
            items=decode(response.content, list[IssuedCertificate]),
            continuation=response.headers.get("x-ms-continuation") or None,
        )

    def get_issued_certificate(self, serial_number: str) -> IssuedCertificate:
        """Return a certificate by its serial number in hex. NotFoundError if it was not issued here."""
        return self._get(f"{_ISSUED}/{segment(serial_number)}", IssuedCertificate)

    def revoke_certificate(self, serial_number: str, *, reason: str | None = None) -> IssuedCertificate:
        """Revoke a certificate and cut its device off at its hub."""
        path = f"{_ISSUED}/{segment(serial_number)}/revoke"
        return self._write("POST", path, {"reason": reason}, IssuedCertificate, repeatable=True)

    def revoke_device_certificates(self, registration_id: str, *, reason: str | None = None) -> list[IssuedCertificate]:
        """Revoke every valid certificate of a device. NotFoundError if it has none."""
        document = {"registrationId": registration_id, "reason": reason}
        return self._write("POST", f"{_ISSUED}/revoke", document, list[IssuedCertificate])

    def _ask(self, path: str, wanted: dict[str, Any], kind: type[T]) -> T:
        response = self._session.send("GET", path, query=_given(wanted), repeatable=True)
        return decode(response.content, kind)

    def _write(self, method: str, path: str, document: dict[str, Any], kind: type[T], *, repeatable: bool = False) -> T:
        given = {name: value for name, value in document.items() if value is not None}
        response = self._session.send(method, path, body=msgspec.json.encode(given), repeatable=repeatable)
        return decode(response.content, kind)


def _given(wanted: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in wanted.items() if value is not None}


def _seconds(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds())
