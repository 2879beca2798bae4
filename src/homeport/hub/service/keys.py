"""New keys for many devices and modules in one call (contract hub.md 4.8)."""

from msgspec import UNSET

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.registry import Registry
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import read
from homeport.hub.service.bulk import MAX_BULK_ENTRIES
from homeport.security.explain import quoted
from homeport.security.sas import encode_key
from homeport.wire import encode
from homeport.wire import hub_service as wire

_WHICH = {"primarykey": (True, False), "secondarykey": (False, True), "both": (True, True)}


class KeysResponder:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def regenerate(self, body: bytes) -> Reply:
        """Make new keys for each identity on its own: 200 for all of them, 207 for some, 400 for none."""
        wanted = read(wire.key_regeneration_decoder, body)
        which = _WHICH.get(wanted.policy_key.lower())
        if which is None:
            raise HubError(
                HubCode.INVALID_POLICY_KEY,
                f"policyKey is primaryKey, secondaryKey or both, not {quoted(wanted.policy_key)}.",
            )
        if not wanted.devices:
            raise HubError(HubCode.ARGUMENT_INVALID, "devices is empty.")
        if len(wanted.devices) > MAX_BULK_ENTRIES:
            raise HubError(HubCode.TOO_MANY_DEVICES, f"One call takes at most {MAX_BULK_ENTRIES} devices.")
        rotated: list[wire.RotatedKeys] = []
        errors: list[wire.RotationError] = []
        for owner in wanted.devices:
            module_id = owner.module_id or UNSET
            try:
                identity = translate.check_identity_id(owner.id, owner.module_id or None)
                keys = await self._registry.regenerate_keys(identity, primary=which[0], secondary=which[1])
            except HubError as error:
                errors.append(
                    wire.RotationError(
                        id=owner.id,
                        module_id=module_id,
                        error_code=error.code.wire_name,
                        error_status=error.message,
                    )
                )
            else:
                rotated.append(
                    wire.RotatedKeys(
                        id=owner.id,
                        module_id=module_id,
                        primary_key=encode_key(keys.primary_key),
                        secondary_key=encode_key(keys.secondary_key),
                    )
                )
        document = encode(wire.KeyRegenerationResult(policy_key=wanted.policy_key, rotated_keys=rotated, errors=errors))
        if not rotated:
            name = HubCode.KEY_REGENERATION_FAILED.wire_name
            return Reply(status=400, body=document, headers={"iothub-errorcode": name})
        return Reply(status=207 if errors else 200, body=document)
