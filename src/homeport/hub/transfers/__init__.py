"""Imports and exports of one hub's registry: kept, run, ended (contract hub.md 10)."""

from homeport.hub.transfer_ports import StorageFault, TransferContainer, TransferStore
from homeport.hub.transfers.runner import TransferRunner
from homeport.hub.transfers.transfers import Transfers

__all__ = ["StorageFault", "TransferContainer", "TransferRunner", "TransferStore", "Transfers"]
