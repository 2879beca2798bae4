"""Documents of configurations to values and back (contract hub.md 11). Refusals are HubError."""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from homeport.hub.configurations.content import DESIRED, applied
from homeport.hub.configurations.metrics import read_metric, system_queries
from homeport.hub.configurations.targets import read_targets
from homeport.hub.errors import HubCode, HubError
from homeport.hub.identifiers import is_part
from homeport.hub.model import Configuration, ConfigurationContent, Settings, format_time
from homeport.hub.query import QueryError
from homeport.hub.selection import read_selection
from homeport.hub.twin_patch import MAX_SECTION_BYTES, check_content, check_size
from homeport.security.explain import quoted
from homeport.wire import hub_configurations as wire

MAX_METRICS = 5
MAX_MODULES = 50
MAX_LABELS = 100
MAX_TEXT = 8192

_ID = re.compile(r"[a-z0-9\-:.+%_#*?!(),=@;$'~`]{1,128}")
_MAX_PRIORITY = 2**31 - 1


def check_id(text: str) -> str:
    """Return the id of a configuration, or refuse it."""
    if _ID.fullmatch(text) is None:
        raise _invalid(
            f"{quoted(text)} is not the id of a configuration: 1 to 128 lower-case letters, digits and signs."
        )
    return text


def read_configuration(configuration_id: str, document: wire.ConfigurationWrite, now: datetime) -> Configuration:
    """Read a configuration that is to be made."""
    if document.id is not None and document.id != configuration_id:
        raise _invalid(f"The body is about {quoted(document.id)}, the path about {quoted(configuration_id)}.")
    if document.content is None:
        raise HubError(HubCode.INVALID_CONFIGURATION_CONTENT, "The configuration has no content.")
    content = read_content(document.content)
    labels = document.labels or {}
    if len(labels) > MAX_LABELS or any(len(text) > MAX_TEXT for pair in labels.items() for text in pair):
        raise _invalid(f"A configuration has at most {MAX_LABELS} labels of {MAX_TEXT} characters.")
    priority = document.priority or 0
    if not 0 <= priority <= _MAX_PRIORITY:
        raise _invalid(f"priority is not between 0 and {_MAX_PRIORITY}.")
    condition = document.target_condition or ""
    error = condition_error(condition, content)
    if error is not None:
        raise HubError(HubCode.INVALID_TARGET_CONDITION, error)
    metrics = (document.metrics.queries if document.metrics is not None else None) or {}
    if len(metrics) > MAX_METRICS:
        raise HubError(HubCode.INVALID_METRICS_QUERY, f"A configuration has at most {MAX_METRICS} metrics.")
    for name, error in metric_errors(metrics).items():
        raise HubError(HubCode.INVALID_METRICS_QUERY, f"{quoted(name)}: {error}")
    return Configuration(
        configuration_id=configuration_id,
        schema_version=document.schema_version or "1.0",
        labels=labels,
        content=content,
        target_condition=condition,
        priority=priority,
        metrics=metrics,
        created_at=now,
        updated_at=now,
    )


def read_content(document: wire.Content) -> ConfigurationContent:
    """Read content: just one kind of it, and such as twins can hold. Raises HubError INVALID_CONFIGURATION_CONTENT."""
    device, module, modules = document.device_content, document.module_content, document.modules_content
    given = [each for each in (device, module, modules) if each]
    if len(given) != 1:
        raise _content("Just one of deviceContent, moduleContent and modulesContent is given, and it is not empty.")
    if modules:
        if len(modules) > MAX_MODULES:
            raise _content(f"A deployment is for at most {MAX_MODULES} modules.")
        for module_id, settings in modules.items():
            if not is_part(module_id):
                raise _content(f"{quoted(module_id)} cannot be the id of a module.")
            _check_settings(settings, module_id)
        return ConfigurationContent(modules=modules)
    settings = given[0]
    _check_settings(settings, "the content")
    return ConfigurationContent(device=settings) if device else ConfigurationContent(module=settings)


def condition_error(condition: str, content: ConfigurationContent | None) -> str | None:
    """Say what is wrong with a target condition, None if nothing is; without content it may be of either kind."""
    if len(condition) > MAX_TEXT:
        return f"The target condition is longer than {MAX_TEXT} characters."
    try:
        if content is None:
            of_modules = condition.strip() != "" and read_selection(condition).source.value == "devices.modules"
            content = ConfigurationContent(module={}) if of_modules else ConfigurationContent(device={})
        read_targets(condition, content)
    except QueryError as error:
        return error.message
    return None


def metric_errors(queries: Mapping[str, str]) -> dict[str, str]:
    """Say what is wrong with metrics, by their name."""
    errors = {}
    for name, text in queries.items():
        if len(text) > MAX_TEXT:
            errors[name] = f"The query is longer than {MAX_TEXT} characters."
            continue
        try:
            read_metric(text)
        except QueryError as error:
            errors[name] = error.message
    return errors


def read_version(if_match: str | None) -> int | None:
    """Return the version an If-Match stands for: None for a wildcard, 0, which nobody has, for what is none."""
    text = (if_match or "").strip().strip('"')
    if text == "*":
        return None
    try:
        number = base64.b64decode(text, validate=True)
        return int(number) if number.isdigit() and len(number) < 19 else 0
    except ValueError:
        return 0


def is_given(if_match: str | None) -> bool:
    """Tell whether there is an If-Match: one without quotes is read as absent, but for `*` (contract hub.md 3.4)."""
    text = (if_match or "").strip()
    return text == "*" or (len(text) > 1 and text.startswith('"') and text.endswith('"'))


def configuration_document(configuration: Configuration) -> wire.Configuration:
    content, results = configuration.content, configuration.results
    queries = system_queries(configuration)
    return wire.Configuration(
        id=configuration.configuration_id,
        schema_version=configuration.schema_version,
        labels=dict(configuration.labels),
        content=wire.Content(
            device_content=_plain(content.device),
            module_content=_plain(content.module),
            modules_content=None
            if content.modules is None
            else {name: dict(settings) for name, settings in content.modules.items()},
        ),
        target_condition=configuration.target_condition,
        created_time_utc=format_time(configuration.created_at),
        last_updated_time_utc=format_time(configuration.updated_at),
        priority=configuration.priority,
        system_metrics=wire.Metrics(
            results={name: results.system.get(name, 0) for name in queries},
            queries=queries,
        ),
        metrics=wire.Metrics(
            results={name: count for name, count in results.custom.items() if name in configuration.metrics},
            queries=dict(configuration.metrics),
        ),
        etag=configuration.etag,
    )


def _check_settings(settings: Settings, where: str) -> None:
    for path, value in settings.items():
        if path != DESIRED and not path.startswith(f"{DESIRED}."):
            raise _content(f"{quoted(path)} in {where} is not {DESIRED}, nor a path below it.")
        if path == DESIRED and not isinstance(value, dict):
            raise _content(f"{DESIRED} in {where} is not an object.")
    try:
        content = applied({}, settings)
        check_content(content, DESIRED)
        check_size(content, DESIRED, MAX_SECTION_BYTES)
    except HubError as error:
        raise _content(error.message) from None


def _plain(settings: Settings | None) -> dict[str, Any] | None:
    return None if settings is None else dict(settings)


def _content(message: str) -> HubError:
    return HubError(HubCode.INVALID_CONFIGURATION_CONTENT, message)


def _invalid(message: str) -> HubError:
    return HubError(HubCode.ARGUMENT_INVALID, message)
