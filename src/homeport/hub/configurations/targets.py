"""Which twins a configuration selects (contract hub.md 11.1). Pure."""

from typing import Any

from msgspec import Struct

from homeport.hub.configurations.content import EDGE_AGENT
from homeport.hub.identifiers import module_of
from homeport.hub.model import Configuration, ConfigurationContent, DeviceIdentity
from homeport.hub.query import QueryError, Source, attributes_of, holds
from homeport.hub.selection import Selection, read_selection

_ALLOWED = (("deviceId",), ("moduleId",), ("tags",), ("properties", "reported"))


class Targets(Struct, frozen=True, kw_only=True):
    """A target condition with what it is about; `selection` None selects nothing."""

    selection: Selection | None
    edge: bool

    def selects(self, identity: DeviceIdentity, document: dict[str, Any]) -> bool:
        """Judge a twin's document. Deployments are for Edge devices, and the Edge agent is theirs alone."""
        if self.selection is None or (self.edge and not identity.iot_edge):
            return False
        module_id = module_of(identity.device_id)
        if (module_id is not None) is not (self.selection.source is Source.MODULES) or module_id == EDGE_AGENT:
            return False
        return holds(self.selection.condition, document)


def read_targets(condition: str, content: ConfigurationContent) -> Targets:
    """Read a target condition. Raises QueryError; for one about anything but tags, reported properties and ids, too."""
    if not condition.strip():
        return Targets(selection=None, edge=False)
    selection = read_selection(condition)
    of_modules = selection.source is Source.MODULES
    if of_modules is not (content.module is not None):
        raise QueryError("A condition FROM devices.modules WHERE … goes with moduleContent, and only with that.")
    for path in attributes_of(selection.condition):
        if not any(path[: len(allowed)] == allowed for allowed in _ALLOWED):
            raise QueryError(f"A target condition is about deviceId, tags and properties.reported, not {path[0]}.")
    return Targets(selection=selection, edge=content.modules is not None)


def targets_of(configuration: Configuration) -> Targets:
    """Read the condition of a configuration, which was read when it was made."""
    return read_targets(configuration.target_condition, configuration.content)
