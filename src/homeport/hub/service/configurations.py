"""Configurations, and the content of a deployment for one Edge device (contract hub.md 11.2)."""

from homeport.clock import Clock
from homeport.hub import translate
from homeport.hub.configurations import ConfigurationStore, Deployer
from homeport.hub.configurations.translate import (
    check_id,
    condition_error,
    configuration_document,
    is_given,
    metric_errors,
    read_configuration,
    read_content,
    read_version,
)
from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import Configuration
from homeport.hub.registry import ROUNDS, Registry
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, read
from homeport.values import replace
from homeport.wire import hub_configurations as wire

MAX_CONFIGURATIONS = 100
"""On one hub (contract hub.md 23)."""
MAX_CONFIGURATION_BODY = 1024 * 1024


class ConfigurationsResponder:
    def __init__(self, store: ConfigurationStore, deployer: Deployer, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._deployer = deployer
        self._registry = registry
        self._clock = clock

    async def list(self, top: str | None) -> Reply:
        every = await self._store.all()
        number = int(top) if top and top.isascii() and top.isdigit() and len(top) < 6 else 0
        return answer([configuration_document(each) for each in every[: number or None]])

    async def get(self, configuration_id: str) -> Reply:
        return _answer(await self._get(configuration_id))

    async def put(self, configuration_id: str, body: bytes, if_match: str | None) -> Reply:
        """Create without If-Match; with it update all but the content, which stays as it is."""
        check_id(configuration_id)
        document = read(wire.configuration_decoder, body, MAX_CONFIGURATION_BODY)
        wanted = read_configuration(configuration_id, document, self._clock.now())
        if is_given(if_match):
            wanted = await self._replace(wanted, read_version(if_match))
        else:
            await self._store.create(wanted, limit=MAX_CONFIGURATIONS)
        self._deployer.wake()
        return _answer(wanted)

    async def delete(self, configuration_id: str, if_match: str | None) -> Reply:
        expected = read_version(if_match) if is_given(if_match) else None
        if not await self._store.delete(configuration_id, expected_version=expected):
            await self._get(configuration_id)
            raise _stale(configuration_id)
        self._deployer.wake()
        return Reply(status=204)

    async def test(self, body: bytes) -> Reply:
        """Say what is wrong with a target condition and with metrics; nothing is stored."""
        given = read(wire.test_decoder, body)
        return answer(
            wire.TestQueriesResult(
                target_condition_error=condition_error(given.target_condition or "", None),
                custom_metric_query_errors=metric_errors(given.custom_metric_queries or {}),
            )
        )

    async def apply(self, device_id: str, body: bytes) -> Reply:
        """Write the content of a deployment to one Edge device, which then has what it says."""
        identity = await self._registry.get(translate.check_device_id(device_id))
        content = read_content(read(wire.content_decoder, body, MAX_CONFIGURATION_BODY))
        if content.modules is None:
            raise HubError(HubCode.INVALID_CONFIGURATION_CONTENT, "To one device only modulesContent can be applied.")
        if not identity.iot_edge:
            raise HubError(HubCode.ARGUMENT_INVALID, f"{device_id} is not an Edge device.")
        await self._deployer.deploy(device_id, content.modules)
        return Reply(status=204)

    async def _get(self, configuration_id: str) -> Configuration:
        found = await self._store.get(configuration_id)
        if found is None:
            raise HubError(HubCode.CONFIGURATION_NOT_FOUND, f"There is no configuration {configuration_id}.")
        return found

    async def _replace(self, wanted: Configuration, expected: int | None) -> Configuration:
        for _ in range(ROUNDS):
            stored = await self._get(wanted.configuration_id)
            if expected not in (None, stored.version):
                break
            changed = replace(
                wanted,
                schema_version=stored.schema_version,
                content=stored.content,
                created_at=stored.created_at,
                version=stored.version + 1,
                results=stored.results,
            )
            # The content that stays must fit the new condition.
            error = condition_error(changed.target_condition, changed.content)
            if error is not None:
                raise HubError(HubCode.INVALID_TARGET_CONDITION, error)
            if await self._store.replace(changed, expected_version=stored.version):
                return changed
        raise _stale(wanted.configuration_id)


def _answer(configuration: Configuration) -> Reply:
    return answer(configuration_document(configuration), {"ETag": f'"{configuration.etag}"'})


def _stale(configuration_id: str) -> HubError:
    return HubError(HubCode.PRECONDITION_FAILED, f"The etag given for {configuration_id} is not the current one.")
