"""The portal: pages for administrators. A user of the public API through `homeport.client`; it owns no data."""

from homeport.portal.app import create_portal
from homeport.portal.context import About, PortalApi
from homeport.portal.sessions import Entrance

__all__ = ["About", "Entrance", "PortalApi", "create_portal"]
