"""The clients for asyncio; models, errors and security providers are those of `homeport.client`."""

from homeport.client._async.admin import HomeportAdminClient
from homeport.client._async.device import ProvisioningDeviceClient
from homeport.client._async.hub import HubClient
from homeport.client._async.hub_connection import connect_with_azure_iot_device, make_azure_iot_device_client
from homeport.client._async.hub_monitor import HubMonitorClient
from homeport.client._async.hub_registry import HubRegistryClient
from homeport.client._async.message_sender import MessageSender
from homeport.client._async.provisioning import ProvisioningServiceClient

__all__ = [
    "HomeportAdminClient",
    "HubClient",
    "HubMonitorClient",
    "HubRegistryClient",
    "MessageSender",
    "ProvisioningDeviceClient",
    "ProvisioningServiceClient",
    "connect_with_azure_iot_device",
    "make_azure_iot_device_client",
]
