"""Which configurations of a twin are written, and what its desired properties are then (contract hub.md 11). Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from homeport.hub.model import Configuration, ConfigurationStatus, JsonObject, Settings

DESIRED = "properties.desired"
EDGE_AGENT = "$edgeAgent"


def is_layer(configuration: Configuration) -> bool:
    """Tell a layer of an Edge deployment, which needs a base below it, from a base: that says all of the Edge agent."""
    modules = configuration.content.modules
    return modules is not None and DESIRED not in modules.get(EDGE_AGENT, {})


def ranked(configurations: Iterable[Configuration]) -> list[Configuration]:
    """Put the one that wins first: the highest priority, then the newest."""
    return sorted(configurations, key=lambda each: (each.priority, each.created_at), reverse=True)


def chosen(targeting: Iterable[Configuration]) -> Sequence[Configuration]:
    """Return those that are written to a twin which all of these select, in the order of writing.

    Of devices and modules that is one; of Edge devices a base, and the layers above it.
    """
    order = ranked(targeting)
    bases = [each for each in order if not is_layer(each)]
    if not bases:
        return ()
    above = order[: order.index(bases[0])]
    return (bases[0], *reversed(above))


def statuses(targeting: Iterable[Configuration], written: Sequence[Configuration]) -> dict[str, str]:
    """Return what the twin shows of each configuration that selects it."""
    ids = {each.configuration_id for each in written}
    return {
        each.configuration_id: (
            ConfigurationStatus.APPLIED if each.configuration_id in ids else ConfigurationStatus.TARGETED
        ).value
        for each in targeting
    }


def applied(content: JsonObject, settings: Settings) -> dict[str, Any]:
    """Return desired properties with the settings in them: each value is what stands at its path, null is nothing."""
    result = dict(content)
    # What is above is written before what is below it.
    for path in sorted(settings, key=len):
        result = _with(result, path.split(".")[2:], settings[path])
    return result


def _with(content: JsonObject, names: Sequence[str], value: Any) -> dict[str, Any]:
    if not names:
        return dict(value) if isinstance(value, Mapping) else {}
    result = dict(content)
    name, *below = names
    if below:
        inner = result.get(name)
        result[name] = _with(inner if isinstance(inner, Mapping) else {}, below, value)
    elif value is None:
        result.pop(name, None)
    else:
        result[name] = value
    return result


def edge_modules(written: Sequence[Configuration]) -> Mapping[str, Sequence[Settings]]:
    """Return the settings of each module of an Edge device, in the order of writing."""
    modules: dict[str, list[Settings]] = {}
    for each in written:
        for module_id, settings in (each.content.modules or {}).items():
            modules.setdefault(module_id, []).append(settings)
    return modules


def named_modules(agent: JsonObject) -> frozenset[str]:
    """Return the modules that the Edge agent's desired properties tell it to run."""
    modules = agent.get("modules")
    return frozenset(modules) if isinstance(modules, Mapping) else frozenset()
