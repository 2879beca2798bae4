"""Configurations and deployments of one hub: kept, applied to twins, counted (contract hub.md 11)."""

from homeport.hub.configurations.deployer import Deployer
from homeport.hub.configurations.ports import ConfigurationStore

__all__ = ["ConfigurationStore", "Deployer"]
