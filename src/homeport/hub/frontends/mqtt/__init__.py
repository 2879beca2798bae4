"""Devices over MQTT: user names and topics to the device's operations, and back (contract hub.md 13)."""

from homeport.hub.frontends.mqtt.front_end import DeviceFrontEnd
from homeport.hub.frontends.mqtt.user_name import UserName

__all__ = ["DeviceFrontEnd", "UserName"]
