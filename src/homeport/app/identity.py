"""What a provisioning service is from its first start on: id scope and root CA.

Made once, by whichever process comes first, and kept in the store, so that several processes agree (ADR 3).
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from homeport.app.pki import KeyPair, create_root_ca
from homeport.security.policies import DpsRight, Random, SharedAccessPolicy
from homeport.security.sas import decode_key, encode_key
from homeport.values import hiding

OWNER_POLICY = "provisioningserviceowner"
HUB_OWNER_POLICY = "iothubowner"


class Settings(Protocol):
    """The part of the settings store that is needed here."""

    async def get(self, key: str) -> bytes | None: ...

    async def put_if_absent(self, key: str, value: bytes) -> bytes:
        """Store the value unless there is one; return the one that is stored now."""
        ...


@hiding("root_ca")
class ServiceIdentity(Struct, frozen=True, kw_only=True):
    """One provisioning service."""

    id_scope: str
    policies: Sequence[SharedAccessPolicy[DpsRight]]
    """What the first builds kept here; the store has a table for them now."""
    root_ca: KeyPair


def service_connection_string(host: str, policy: str, key: bytes) -> str:
    return f"HostName={host};SharedAccessKeyName={policy};SharedAccessKey={encode_key(key)}"


def event_hub_connection_string(host: str, policy: str, key: bytes, event_hub: str) -> str:
    """Write what Event Hubs clients take (contract hub.md 2.2, 20)."""
    return (
        f"Endpoint=sb://{host}/;SharedAccessKeyName={policy};SharedAccessKey={encode_key(key)};EntityPath={event_hub}"
    )


async def load_or_create(settings: Settings, *, now: datetime, random: Random) -> ServiceIdentity:
    """Return the stored identity; on the first start, make and store one."""
    stored = await settings.get("service-identity")
    if stored is None:
        stored = await settings.put_if_absent("service-identity", _encode(_create(now=now, random=random)))
    return _decode(stored)


def _create(*, now: datetime, random: Random) -> ServiceIdentity:
    # The hosted form: `0ne` and eight upper-case hexadecimal digits (contract dps.md 1.2).
    id_scope = f"0ne{random(4).hex().upper()}"
    return ServiceIdentity(
        id_scope=id_scope,
        policies=(),
        root_ca=create_root_ca(name=f"Homeport Root CA {id_scope}", now=now),
    )


def _encode(identity: ServiceIdentity) -> bytes:
    root = {"certificate": identity.root_ca.certificate.decode(), "key": identity.root_ca.key.decode()}
    return json.dumps({"idScope": identity.id_scope, "rootCa": root}).encode()


def _decode(stored: bytes) -> ServiceIdentity:
    document: dict[str, Any] = json.loads(stored)
    policies = [
        SharedAccessPolicy(
            name=policy["name"],
            primary_key=decode_key(policy["primaryKey"]),
            secondary_key=decode_key(policy["secondaryKey"]),
            rights=frozenset(DpsRight(right) for right in policy["rights"]),
        )
        for policy in document.get("policies", ())
    ]
    root = KeyPair(certificate=document["rootCa"]["certificate"].encode(), key=document["rootCa"]["key"].encode())
    return ServiceIdentity(id_scope=document["idScope"], policies=policies, root_ca=root)
