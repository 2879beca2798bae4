"""Whether an authority took one of a chain's certificates back: asked of its CRL, and of its OCSP responder."""

from homeport.dps.revocation.check import Revocation
from homeport.dps.revocation.keeper import CrlKeeper
from homeport.dps.revocation.links import Link, links
from homeport.dps.revocation.lists import CrlShelf
from homeport.dps.revocation.responders import Responders

__all__ = ["CrlKeeper", "CrlShelf", "Link", "Responders", "Revocation", "links"]
