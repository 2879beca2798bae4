"""The ids of a hub (contract hub.md 4.1, 4.2).

An identity's id is a device's id, or `{device}/{module}`: neither part holds a slash, so the two never meet, and
whatever belongs to an identity (twin, session, queue) is found by this one id.
"""

import re

from homeport.hub.errors import HubCode, HubError

_PART = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")


def is_part(text: str) -> bool:
    """Tell whether this can be the id of a device, or of a module on one."""
    return _PART.fullmatch(text) is not None


def is_identity_id(text: str) -> bool:
    """Tell whether this can be the id of a device or of a module with its device."""
    device_id, slash, module_id = text.partition("/")
    return is_part(device_id) and (not slash or is_part(module_id))


def identity_id(device_id: str, module_id: str | None) -> str:
    """Put the two together; no module is the device itself."""
    return device_id if module_id is None else f"{device_id}/{module_id}"


def device_of(identity: str) -> str:
    """Return the device that an identity is, or is a module of."""
    return identity.partition("/")[0]


def module_of(identity: str) -> str | None:
    """Return the module's own id, None for a device."""
    return identity.partition("/")[2] or None


def path_of(identity: str) -> tuple[str, ...]:
    """Return the segments below a hub's host that name an identity in tokens and addresses."""
    device_id, module_id = device_of(identity), module_of(identity)
    return ("devices", device_id) if module_id is None else ("devices", device_id, "modules", module_id)


def not_found(identity: str) -> HubError:
    """Return the refusal of a call about an identity that does not exist."""
    code = HubCode.DEVICE_NOT_FOUND if module_of(identity) is None else HubCode.MODULE_NOT_FOUND
    return HubError(code, identity)
