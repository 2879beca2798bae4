"""New keys for many identities in one call (contract hub.md 4.8)."""

from typing import Any

import pytest

from homeport.hub.identities import IdentityWrite
from homeport.hub.model import SasAuthentication, SelfSignedAuthentication
from homeport.hub.served_hub import ServedHub
from homeport.security.sas import decode_key
from tests.unit.hub.clients import RestClient

PATH = "/devices/keys/regenerate"
OLD = SasAuthentication(primary_key=b"1" * 32, secondary_key=b"2" * 32)


@pytest.fixture(autouse=True)
async def identities(hub: ServedHub) -> None:
    for name in ("a", "b", "a/m"):
        await hub.registry.create(IdentityWrite(device_id=name, authentication=OLD))
    thumbprint = SelfSignedAuthentication(primary_thumbprint="A" * 40, secondary_thumbprint=None)
    await hub.registry.create(IdentityWrite(device_id="x", authentication=thumbprint))


async def keys_of(hub: ServedHub, name: str) -> SasAuthentication:
    keys = (await hub.registry.get(name)).authentication
    assert isinstance(keys, SasAuthentication)
    return keys


def body(which: str, *owners: dict[str, Any]) -> dict[str, Any]:
    return {"policyKey": which, "devices": list(owners)}


@pytest.mark.parametrize(
    ("which", "first", "second"),
    [("primaryKey", True, False), ("secondaryKey", False, True), ("both", True, True), ("PRIMARYKEY", True, False)],
)
async def test_which_keys(rest: RestClient, hub: ServedHub, which: str, first: bool, second: bool) -> None:
    etag = (await hub.registry.get("a")).etag
    answer = await rest("POST", PATH, body(which, {"id": "a"}), version="2024-03-31")
    assert answer.status_code == 200, answer.text
    (rotated,) = answer.json()["rotatedKeys"]
    keys = await keys_of(hub, "a")
    assert (decode_key(rotated["primaryKey"]), decode_key(rotated["secondaryKey"])) == (
        keys.primary_key,
        keys.secondary_key,
    )
    assert (keys.primary_key != OLD.primary_key, keys.secondary_key != OLD.secondary_key) == (first, second)
    assert (await hub.registry.get("a")).etag != etag
    assert (answer.json()["policyKey"], answer.json()["errors"], rotated.keys() & {"moduleId"}) == (which, [], set())


async def test_some_fail(rest: RestClient, hub: ServedHub) -> None:
    owners = [{"id": "gone"}, {"id": "a", "moduleId": "m"}, {"id": "x"}, {"id": "a", "moduleId": "n"}, {"id": "a/b"}]
    answer = await rest("POST", PATH, body("both", *owners))
    assert answer.status_code == 207
    (rotated,) = answer.json()["rotatedKeys"]
    assert (rotated["id"], rotated["moduleId"]) == ("a", "m")
    assert [(each["id"], each["errorCode"]) for each in answer.json()["errors"]] == [
        ("gone", "DeviceNotFound"),
        ("x", "ArgumentInvalid"),
        ("a", "ModuleNotFound"),
        ("a/b", "ArgumentInvalid"),
    ]
    assert await keys_of(hub, "a") == OLD
    assert (await keys_of(hub, "a/m")).primary_key != OLD.primary_key


async def test_all_fail(rest: RestClient) -> None:
    answer = await rest("POST", PATH, body("both", {"id": "gone"}))
    assert (answer.status_code, answer.headers["iothub-errorcode"]) == (400, "BulkRegenerateDeviceKeyOperationFailure")
    assert [each["id"] for each in answer.json()["errors"]] == ["gone"]


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [
        (body("all", {"id": "a"}), 400, "InvalidPolicyKey"),
        (body("both"), 400, "ArgumentInvalid"),
        ({"policyKey": "both"}, 400, "ArgumentInvalid"),
        (body("both", *[{"id": "a"}] * 101), 413, "TooManyDevices"),
    ],
)
async def test_what_is_refused(
    rest: RestClient, hub: ServedHub, document: dict[str, Any], status: int, code: str
) -> None:
    refused = await rest("POST", PATH, document)
    assert (refused.status_code, refused.headers["iothub-errorcode"]) == (status, code)
    assert await keys_of(hub, "a") == OLD


async def test_who_may(rest: RestClient, hub: ServedHub) -> None:
    for policy in ("registryRead", "service", "device"):
        assert (await rest("POST", PATH, body("both", {"id": "a"}), policy=policy)).status_code == 401
    assert await keys_of(hub, "a") == OLD
