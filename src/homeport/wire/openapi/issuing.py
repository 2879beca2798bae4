"""The operations under `/homeport/` about certificates that are issued at registration (contract dps.md 13)."""

from homeport.wire import dps_issuing as wire
from homeport.wire.openapi.administration import at
from homeport.wire.openapi.operations import Operation

_READ, _STATUS_READ, _STATUS_WRITE = "ServiceConfigRead", "RegistrationStatusRead", "RegistrationStatusWrite"
_AUTHORITY, _POLICY, _ISSUED = "certificateAuthorities/{name}", "certificatePolicies/{name}", "issuedCertificates"

ISSUING: tuple[Operation, ...] = (
    at("certificateAuthorities", "get", "CertificateAuthorities_List", "The issuing authorities.",
       list[wire.Authority], right=_READ),
    at(_AUTHORITY, "get", "CertificateAuthorities_Get", "An issuing authority.", wire.Authority, right=_READ),
    at(_AUTHORITY, "put", "CertificateAuthorities_Put", "Make an authority, or bring one with its key.", wire.Authority,
       body=wire.AuthorityCreation),
    at(_AUTHORITY, "delete", "CertificateAuthorities_Delete", "Delete an authority that nothing refers to.", None),
    at(f"{_AUTHORITY}/rotate", "post", "CertificateAuthorities_Rotate", "Issue from a new key.", wire.Authority,
       body=wire.AuthorityCreation, body_required=False),
    at(f"{_AUTHORITY}/chain", "get", "CertificateAuthorities_Chain", "An authority's chain.", wire.Chain, right=_READ,
       query=("version",)),
    at(f"{_AUTHORITY}/crl", "get", "CertificateAuthorities_Crl", "An authority's revocation list.",
       wire.RevocationList, right=_READ, query=("version",)),
    at("masterKey/rotate", "post", "MasterKey_Rotate", "Seal the stored keys anew.", wire.MasterKey),
    at("certificatePolicies", "get", "CertificatePolicies_List", "The certificate policies.", list[wire.Policy],
       right=_READ),
    at(_POLICY, "get", "CertificatePolicies_Get", "A certificate policy.", wire.Policy, right=_READ),
    at(_POLICY, "put", "CertificatePolicies_Put", "Create or replace a policy.", wire.Policy, body=wire.PolicyWrite),
    at(_POLICY, "delete", "CertificatePolicies_Delete", "Delete a policy that nothing refers to.", None),
    at(_ISSUED, "get", "IssuedCertificates_List", "Certificates that devices were given.", list[wire.Issued],
       right=_STATUS_READ, paged="", query=("registrationId", "certificateAuthorityName", "endsWithinSeconds")),
    at(f"{_ISSUED}/{{serialNumber}}", "get", "IssuedCertificates_Get", "One of them.", wire.Issued,
       right=_STATUS_READ),
    at(f"{_ISSUED}/{{serialNumber}}/revoke", "post", "IssuedCertificates_Revoke", "Revoke one.", wire.Issued,
       right=_STATUS_WRITE, body=wire.RevocationRequest, body_required=False),
    at(f"{_ISSUED}/revoke", "post", "IssuedCertificates_RevokeDevice", "Revoke all of a device.", list[wire.Issued],
       right=_STATUS_WRITE, body=wire.RevocationRequest),
)  # fmt: skip
