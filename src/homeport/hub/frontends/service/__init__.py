"""Services over HTTPS (contract hub.md 3): one front-end, a module for each noun."""

from homeport.hub.frontends.service.frontend import MAX_REQUEST_BODY, ServiceFrontEnd

__all__ = ["MAX_REQUEST_BODY", "ServiceFrontEnd"]
