"""The client of a whole hub, over one pool of connections."""

from typing import ClassVar

from homeport.client._async.hub_configurations import HubConfigurationsClient
from homeport.client._async.hub_jobs import HubJobsClient
from homeport.client._async.hub_messages import HubMessagesClient
from homeport.client._async.hub_monitor import HubMonitorClient
from homeport.client._async.hub_registry import HubRegistryClient
from homeport.client._async.hub_transfers import HubTransfersClient
from homeport.client._async.hub_twins import HubTwinsClient


class HubClient(
    HubRegistryClient,
    HubTwinsClient,
    HubJobsClient,
    HubConfigurationsClient,
    HubMessagesClient,
    HubMonitorClient,
    HubTransfersClient,
):
    """All that services do with a hub: its registry, twins, methods, jobs, configurations and messages.

    Made of a hub's connection string, like the other clients. Every method raises ProvisioningServiceError or
    TransportError.
    """

    API_VERSION: ClassVar[str] = "2021-04-12"
