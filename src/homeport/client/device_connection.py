"""From a registration to a connected device (the asynchronous twin is in `homeport.client.aio`)."""

from homeport.client._sync.hub_connection import connect_with_azure_iot_device, make_azure_iot_device_client
from homeport.client.tokens import TpmSasTokenProvider

__all__ = ["TpmSasTokenProvider", "connect_with_azure_iot_device", "make_azure_iot_device_client"]
