"""Homeport: a self-hosted device provisioning service and IoT hub, wire-compatible with Azure DPS and IoT Hub."""

__version__ = "0.1.0"
