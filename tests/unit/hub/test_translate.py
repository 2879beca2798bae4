"""Documents to nouns and back, by the rules observed on the hosted registry (contract hub.md 4)."""

import base64
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import (
    CaAuthentication,
    Device,
    DeviceIdentity,
    DeviceStatus,
    SasAuthentication,
    SelfSignedAuthentication,
)
from homeport.hub.translate import ImportMode
from homeport.hub.twin_patch import new_twin
from homeport.wire import decode, encode
from homeport.wire import hub_service as wire

KEY = base64.b64encode(b"k" * 32).decode()
SHA1, SHA256 = "aB" * 20, "Cd" * 32


def read(document: dict[str, Any], device_id: str = "d1") -> IdentityWrite:
    return translate.read_identity(device_id, decode(wire.device_decoder, msgspec.json.encode(document)))


def read_authentication(document: dict[str, Any] | None) -> object:
    return read({"deviceId": "d1", "authentication": document}).authentication


@pytest.mark.parametrize("device_id", ["d", "a%b", "a#b?c", "A-Za:.+_*!(),=@;$'", "x" * 128])
def test_ids(device_id: str) -> None:
    assert translate.check_device_id(device_id) == device_id


@pytest.mark.parametrize("device_id", ["", "a/b", "a b", "ä", "x" * 129, "a\n", "a\\"])
def test_what_is_no_id(device_id: str) -> None:
    with pytest.raises(HubError) as caught:
        translate.check_device_id(device_id)
    assert caught.value.code is HubCode.ARGUMENT_INVALID


def test_a_body_may_not_be_about_another_device() -> None:
    assert read({}).device_id == "d1"
    with pytest.raises(HubError, match="D1"):
        read({"deviceId": "D1"})


def test_nothing_said_is_the_default() -> None:
    assert read({"deviceId": "d1"}) == IdentityWrite(device_id="d1")


def test_what_comes_back_is_not_read() -> None:
    sent_back = {
        "deviceId": "d1",
        "etag": 5,
        "connectionState": None,
        "generationId": [],
        "statusUpdatedTime": "never",
        "cloudToDeviceMessageCount": "x",
        "unknown": {},
        "status": "Disabled",
        "statusReason": None,
        "capabilities": {"iotEdge": True},
    }
    assert read(sent_back) == IdentityWrite(device_id="d1", status=DeviceStatus.DISABLED, iot_edge=True)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"type": "sas"},
        {"type": "SAS", "symmetricKey": None},
        {"symmetricKey": {"primaryKey": "", "secondaryKey": ""}},
        {"symmetricKey": {"primaryKey": None}, "x509Thumbprint": {"primaryThumbprint": None}},
    ],
)
def test_keys_that_the_hub_is_to_make(document: dict[str, Any] | None) -> None:
    assert read_authentication(document) is None


def test_given_proofs() -> None:
    assert read_authentication({"symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}) == SasAuthentication(
        primary_key=b"k" * 32, secondary_key=b"k" * 32
    )
    assert read_authentication(
        {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": SHA1, "secondaryThumbprint": SHA256}}
    ) == SelfSignedAuthentication(primary_thumbprint=SHA1, secondary_thumbprint=SHA256)
    assert read_authentication({"type": "selfSigned"}) == SelfSignedAuthentication(
        primary_thumbprint=None, secondary_thumbprint=None
    )
    assert read_authentication({"type": "certificateAuthority"}) == CaAuthentication()


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"symmetricKey": {"primaryKey": KEY}}, "Either no keys or both"),
        ({"symmetricKey": {"primaryKey": KEY, "secondaryKey": ""}}, "Either no keys or both"),
        ({"symmetricKey": {"primaryKey": "c2hvcnQ=", "secondaryKey": KEY}}, "Invalid device key length"),
        ({"symmetricKey": {"primaryKey": "!!", "secondaryKey": KEY}}, "Invalid device key length"),
        ({"type": "none"}, "authentication.type"),
        ({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": "ab:cd"}}, "40 .SHA-1. or 64"),
        ({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": "a" * 41}}, "40 .SHA-1. or 64"),
    ],
)
def test_proofs_that_are_refused(document: dict[str, Any], says: str) -> None:
    with pytest.raises(HubError, match=says) as caught:
        read_authentication(document)
    assert caught.value.code is HubCode.ARGUMENT_INVALID
    assert KEY not in caught.value.message


def test_other_refusals() -> None:
    with pytest.raises(HubError, match="enabled or disabled"):
        read({"status": "paused"})
    with pytest.raises(HubError, match="128"):
        read({"statusReason": "x" * 129})


@pytest.mark.parametrize(
    ("text", "etag"),
    [("*", None), ('"*"', None), ("abc=", "abc="), ('"abc="', "abc="), ('W/"abc"', "abc"), (None, None), ("", None)],
)
def test_etags(text: str | None, etag: str | None) -> None:
    assert translate.read_etag(text) == etag


@pytest.mark.parametrize("mode", list(ImportMode))
def test_import_modes_in_any_case(mode: ImportMode) -> None:
    assert translate.read_import_mode(wire.BulkEntry(id="d", import_mode=mode.value.upper())) is mode
    assert translate.read_import_mode(wire.BulkEntry(id="d")) is ImportMode.CREATE_OR_UPDATE


def test_what_the_hub_added_to_a_twin_is_taken_off() -> None:
    sent_back = wire.TwinWrite(
        tags={"site": "A"},
        properties=wire.TwinPropertiesWrite(desired={"x": 1, "$metadata": {"x": {}}, "$version": 4}),
    )
    twin = translate.read_twin(sent_back)
    assert (twin.tags, twin.desired, twin.reported) == ({"site": "A"}, {"x": 1}, None)


IDENTITY = DeviceIdentity(
    device_id="d1",
    generation_id="638000000000000000",
    etag="ODAxMjMyNDI2",
    authentication=SasAuthentication(primary_key=b"k" * 32, secondary_key=b"k" * 32),
)


def test_a_device_as_the_contract_shows_it() -> None:
    assert msgspec.json.decode(encode(translate.device_document(IDENTITY))) == {
        "deviceId": "d1",
        "generationId": "638000000000000000",
        "etag": "ODAxMjMyNDI2",
        "connectionState": "Disconnected",
        "status": "enabled",
        "statusReason": None,
        "connectionStateUpdatedTime": "0001-01-01T00:00:00Z",
        "statusUpdatedTime": "0001-01-01T00:00:00Z",
        "lastActivityTime": "0001-01-01T00:00:00Z",
        "cloudToDeviceMessageCount": 0,
        "authentication": {
            "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY},
            "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
            "type": "sas",
        },
        "capabilities": {"iotEdge": False},
    }


def test_a_twin_as_the_contract_shows_it() -> None:
    now = datetime(2022, 6, 1, tzinfo=UTC)
    device = Device(identity=IDENTITY, twin=new_twin("d1", now, desired={"interval": 30}))
    document = msgspec.json.decode(encode(translate.twin_document(device)))
    stamp = {"$lastUpdated": "2022-06-01T00:00:00.0000000Z", "$lastUpdatedVersion": 1}
    assert document == {
        "deviceId": "d1",
        "etag": "AAAAAAAAAAE=",
        "deviceEtag": "ODAxMjMyNDI2",
        "status": "enabled",
        "statusUpdateTime": "0001-01-01T00:00:00Z",
        "connectionState": "Disconnected",
        "lastActivityTime": "0001-01-01T00:00:00Z",
        "cloudToDeviceMessageCount": 0,
        "authenticationType": "sas",
        "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
        "modelId": "",
        "version": 1,
        "tags": {},
        "properties": {
            "desired": {"interval": 30, "$metadata": {**stamp, "interval": stamp}, "$version": 1},
            "reported": {"$metadata": {"$lastUpdated": "0001-01-01T00:00:00Z"}, "$version": 1},
        },
        "capabilities": {"iotEdge": False},
    }
    assert translate.device_twin_document(device) == {
        "desired": {"interval": 30, "$version": 1},
        "reported": {"$version": 1},
    }


def test_keys_do_not_show_in_a_repr() -> None:
    assert KEY not in repr(translate.device_document(IDENTITY))
    assert "kkkk" not in repr(IDENTITY)
