"""Devices over HTTPS: messages in, messages out, each request proving itself (contract hub.md 17)."""

from homeport.hub.frontends.device_http.front_end import DeviceHttpFrontEnd

__all__ = ["DeviceHttpFrontEnd"]
