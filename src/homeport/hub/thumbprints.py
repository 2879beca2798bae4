"""Taking a certificate out of an identity. Pure."""

from homeport.hub.model import Authentication, SelfSignedAuthentication

NO_CERTIFICATE = "0" * 64
"""A SHA-256 thumbprint that no certificate has: an identity must name one."""


def without_thumbprint(authentication: Authentication, thumbprint: str) -> Authentication:
    """Return the authentication without this certificate; the very same object if it does not name it."""
    if not isinstance(authentication, SelfSignedAuthentication):
        return authentication
    named = (authentication.primary_thumbprint, authentication.secondary_thumbprint)
    left = [each for each in named if each and each.upper() != thumbprint.upper()]
    if len(left) == sum(each is not None and each != "" for each in named):
        return authentication
    left = left or [NO_CERTIFICATE]
    return SelfSignedAuthentication(primary_thumbprint=left[0], secondary_thumbprint=left[-1])
