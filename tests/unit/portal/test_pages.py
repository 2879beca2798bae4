from datetime import timedelta

import pytest
from yarl import URL

from homeport.client import derive_device_key
from tests.unit.portal import standin
from tests.unit.portal.conftest import Visitor
from tests.unit.portal.standin import KEY, NOW, Standin, check, stamp

EVIL = "<script>alert(1)</script>\u202e\"'"


@pytest.fixture
def factory(service: Standin) -> Standin:
    """Return a service with two hubs here, one elsewhere, some enrollments and a device."""
    service.add_hub("hub1", "127.0.0.1")
    service.add_hub("hub2", "127.0.0.2", weight=3)
    service.add_hub("west", "west.azure-devices.net", local=False)
    for name in ("press-1", "press-2", "robot-1"):
        service.enrollments[name] = {
            "registrationId": name,
            "etag": "e1",
            "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY[::-1]}},
            "provisioningStatus": "enabled",
            "createdDateTimeUtc": stamp(NOW),
            "lastUpdatedDateTimeUtc": stamp(NOW - timedelta(minutes=3)),
        }
    service.groups["line"] = service.enrollments["press-1"] | {"enrollmentGroupId": "line"}
    del service.groups["line"]["registrationId"]
    service.registrations["sensor-1"] = {
        "registrationId": "sensor-1",
        "deviceId": "sensor-1",
        "status": "assigned",
        "assignedHub": "127.0.0.1",
        "enrollmentGroupId": "line",
    }
    service.add_device("hub1", "sensor-1", connected=True, reported={"battery": 7, "$version": 4})
    return service


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "Bring the first device home"),
        ("/enrollments", "No device is enrolled by itself"),
        ("/groups", "There are no groups"),
        ("/registrations", "No device has registered yet"),
        ("/attempts", "No device has tried to register yet"),
        ("/hubs", "No hub is linked"),
        ("/devices", "This server serves no hub"),
        ("/new/enrollments", "Enroll a device"),
        ("/new/groups", "Enroll a group"),
        ("/new/hub", "Create a hub"),
        ("/link/hub", "Link a hub elsewhere"),
        ("/registrations/nobody", "it has not reached this server"),
    ],
)
async def test_an_empty_service_says_what_to_do(admin: Visitor, path: str, words: str) -> None:
    assert words in await admin.read(path)


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/enrollments/nobody",
        "/groups/nobody",
        "/attempts/nothing",
        "/devices/nohub",
        "/devices/nohub/x",
        "/hubs/nohub/unlink",
    ],
)
async def test_what_does_not_exist(admin: Visitor, path: str) -> None:
    await admin.read(path, 404)


async def test_overview(admin: Visitor, factory: Standin) -> None:
    factory.add_attempt("sensor-1", reason="assigned to 127.0.0.1")
    text = await admin.read("/")
    assert '<span class="number">3</span><span>individual enrollments' in text
    assert '<span class="number">1</span><span>connected now' in text
    assert "assigned to 127.0.0.1" in text
    assert "served elsewhere" in text
    assert "Bring the first device home" not in text


async def test_a_refusal_of_the_api_is_shown_with_code_and_tracking_id(admin: Visitor) -> None:
    text = await admin.read("/enrollments/nobody", 404)
    assert "Enrollment not found." in text
    assert "404201" in text
    assert "tracking-of-the-refusal" in text


# ------------------------------------------------------------ enrollments


async def test_an_enrollment_is_created_and_its_keys_shown_once(admin: Visitor, factory: Standin) -> None:
    text = await admin.send(
        "/new/enrollments",
        id="press-9",
        mechanism="symmetricKey",
        keys="generate",
        status="enabled",
        reprovision="never",
        hubs=("127.0.0.2",),
        initial_twin='{"tags": {"line": "a"}}',
    )
    assert "press-9 is created." in text
    assert KEY in text
    stored = factory.enrollments["press-9"]
    assert stored["iotHubs"] == ["127.0.0.2"]
    assert stored["initialTwin"] == {"tags": {"line": "a"}}
    assert stored["reprovisionPolicy"] == {"updateHubAssignment": False, "migrateDeviceData": False}
    again = await admin.read("/enrollments/press-9")
    assert KEY not in again
    assert "is created" not in again
    assert KEY in await admin.send("/enrollments/press-9/keys")
    assert KEY not in await admin.read("/enrollments/press-9")


async def test_what_is_wrong_stands_beside_its_field_and_nothing_is_lost(admin: Visitor, factory: Standin) -> None:
    text = await admin.send(
        "/new/enrollments",
        expected=422,
        id="not an id",
        mechanism="symmetricKey",
        initial_twin='{"tags": ' + EVIL,
        device_id="kept",
    )
    assert 'aria-invalid="true" aria-describedby="id-error"' in text
    assert "Line 1, column" in text
    assert 'value="not an id"' in text
    assert 'value="kept"' in text
    assert "<script>alert" not in text
    assert "not an id" not in factory.enrollments


async def test_what_the_service_does_not_take_is_said(admin: Visitor, factory: Standin) -> None:
    text = await admin.send("/new/enrollments", expected=400, id="t", mechanism="tpm", endorsement_key="AAAA")
    assert "The endorsement key is no TPM2B_PUBLIC." in text
    assert "400000" in text
    text = await admin.send("/new/enrollments", expected=409, id="press-1", mechanism="symmetricKey")
    assert "Enrollment already exists." in text
    assert factory.enrollments["press-1"]["etag"] == "e1"


async def test_editing_keeps_keys_and_replaces_exactly_what_was_read(admin: Visitor, factory: Standin) -> None:
    text = await admin.send(
        "/enrollments/press-1/edit", mechanism="symmetricKey", keys="keep", etag="e1", device_id="other"
    )
    assert "press-1 is saved." in text
    assert KEY not in text
    stored = factory.enrollments["press-1"]
    assert stored["deviceId"] == "other"
    assert stored["attestation"]["symmetricKey"] == {"primaryKey": KEY, "secondaryKey": KEY[::-1]}
    text = await admin.send(
        "/enrollments/press-1/edit",
        expected=412,
        mechanism="symmetricKey",
        keys="keep",
        etag="e1",
        device_id="third",
    )
    assert "Somebody else changed it meanwhile" in text
    assert factory.enrollments["press-1"]["deviceId"] == "other"


async def test_the_edit_form_holds_no_secret(admin: Visitor, factory: Standin) -> None:
    text = await admin.read("/enrollments/press-1/edit")
    assert "Keep the present keys" in text
    assert KEY not in text


async def test_disabling_enabling_and_deleting(admin: Visitor, factory: Standin) -> None:
    text = await admin.send("/enrollments/press-1/status", status="disabled")
    assert "press-1 is disabled" in text
    assert factory.enrollments["press-1"]["provisioningStatus"] == "disabled"
    await admin.send("/enrollments/press-1/status", status="enabled")
    assert factory.enrollments["press-1"]["provisioningStatus"] == "enabled"
    assert "Delete" in await admin.read("/enrollments/press-1/delete")
    assert "press-1 is deleted." in await admin.send("/enrollments/press-1/delete")
    assert "press-1" not in factory.enrollments


async def test_a_group_and_the_derived_key_of_one_device(admin: Visitor, factory: Standin) -> None:
    text = await admin.read("/groups/line")
    assert "sensor-1" in text
    assert KEY not in text
    text = await admin.send("/groups/line/derive", device="Sensor-7")
    assert derive_device_key(KEY, "Sensor-7").replace("+", "&#43;") in text.replace("+", "&#43;")
    assert KEY not in text
    assert "No key was derived" in await admin.send("/groups/line/derive", device="")


async def test_listings_have_pages(admin: Visitor, factory: Standin) -> None:
    template = factory.enrollments.pop("press-1")
    factory.enrollments = {f"d-{n:04}": template | {"registrationId": f"d-{n:04}"} for n in range(120)}
    first = await admin.read("/enrollments")
    assert "d-0049" in first
    assert "d-0050" not in first
    assert 'href="?after=50"' in first
    last = await admin.read("/enrollments?after=100")
    assert "d-0119" in last
    assert "Next page" not in last
    assert "First page" in last


async def test_search_by_the_beginning_of_an_id(admin: Visitor, factory: Standin) -> None:
    text = await admin.read("/enrollments?q=PRESS")
    assert "press-1" in text
    assert "press-2" in text
    assert "robot-1" not in text
    assert "Nothing is found by" in await admin.read("/enrollments?q=zzz")
    assert "sensor-1" in await admin.read("/devices/hub1?q=sens")


async def test_a_search_that_is_not_understood_says_why(admin: Visitor, factory: Standin) -> None:
    text = await admin.read("/enrollments?q=attestation.type+%3C%3E")
    assert "Expected WHERE at position 10, found &#39;&lt;&#39;." in text
    assert "provisioningStatus = " in text


async def test_short_pages_are_put_together(admin: Visitor, factory: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    template = factory.enrollments["press-1"]
    factory.enrollments = {f"d-{n:02}": template | {"registrationId": f"d-{n:02}"} for n in range(12)}
    monkeypatch.setattr(standin, "LARGEST_PAGE", 2)
    text = await admin.read("/enrollments?q=d-")
    assert "8 found so far" in text
    assert "?q=d-&amp;after=8" in text
    assert "d-11" in await admin.read("/enrollments?q=d-&after=8")


async def test_numbers_stand_beside_the_search(admin: Visitor, factory: Standin) -> None:
    factory.enrollments["press-1"]["provisioningStatus"] = "disabled"
    text = await admin.read("/enrollments")
    assert "1 disabled</a>" in text
    assert "?q=provisioningStatus+%3D+%27disabled%27" in text


@pytest.mark.parametrize("after", ["a b", "%0d%0aX-Evil:%201", "x" * 3000, "<b>"])
async def test_a_page_address_that_nobody_made(admin: Visitor, factory: Standin, after: str) -> None:
    await admin.read(f"/enrollments?after={after}", 400)


# ------------------------------------------------------------ registrations and why


async def test_why(admin: Visitor, factory: Standin) -> None:
    tracking_id = factory.add_attempt(
        "gateway-9",
        outcome="refused",
        code=401002,
        groupId="line",
        checks=[check("enrollment", "group 'line'"), check("signature", "by the group key", passed=False)],
        reason="Signed with the group key.",
        advice="Derive the key.",
    )
    for path in ("/registrations/gateway-9", f"/attempts/{tracking_id}", f"/attempts?tracking={tracking_id}"):
        text = await admin.read(path)
        for words in ("refused", "401002", "Signed with the group key.", "Derive the key.", tracking_id, "failed:"):
            assert words in text, (path, words)
    text = await admin.read("/registrations/gateway-9")
    assert "not registered" in text
    assert 'href="/groups/line"' in text
    assert "No attempt has the tracking id" in await admin.read("/attempts?tracking=unknown")


async def test_a_registration_leads_to_its_device(admin: Visitor, factory: Standin) -> None:
    text = await admin.read("/registrations/sensor-1")
    assert 'href="/devices/hub1/sensor-1"' in text
    assert "Delete the record" in await admin.read("/registrations/sensor-1/delete")
    await admin.send("/registrations/sensor-1/delete")
    assert factory.registrations == {}


async def test_hostile_devices_stay_text(admin: Visitor, factory: Standin) -> None:
    factory.add_attempt(
        EVIL,
        outcome=EVIL,
        transport=EVIL,
        remoteAddress=EVIL,
        evidence=EVIL,
        clientVersion=EVIL,
        checks=[check(EVIL, EVIL, passed=False)],
        reason=EVIL,
        advice=EVIL,
        assignedHub=EVIL,
    )
    factory.registrations["x"] = {"registrationId": "x", "status": EVIL, "assignedHub": EVIL, "payload": {EVIL: EVIL}}
    factory.add_device("hub1", "x", tags={EVIL: EVIL}, desired={EVIL: 1}, reported={"$version": EVIL, EVIL: EVIL})
    factory.add_message("hub1", "x", {EVIL: EVIL}, properties={EVIL: EVIL}, systemProperties={EVIL: None})
    factory.add_message("hub1", "x", EVIL, encoding="text")
    seen = 0
    for path in (
        "/",
        "/attempts",
        f"/attempts/{factory.attempts[0]['trackingId']}",
        "/registrations",
        "/registrations/x",
        "/devices/hub1/x",
        "/devices/hub1",
    ):
        text = await admin.read(path)
        assert "<script>alert" not in text, path
        assert "\u202e" not in text, path
        seen += text.count("&lt;script&gt;")
    assert seen > 20


# ------------------------------------------------------------ hubs


async def test_hubs_are_listed_created_weighted_and_unlinked(admin: Visitor, factory: Standin) -> None:
    text = await admin.read("/hubs")
    assert "60 %" in text
    assert "elsewhere" in text
    text = await admin.send("/new/hub", name="hub3", host_names="127.0.0.3, hub3.example", weight="5")
    assert "Hub hub3 serves 127.0.0.3" in text
    assert "from 1 to 1000" in await admin.send("/hubs/hub3/allocation", weight="0", expected=422)
    form = await admin.read("/hubs/hub3/allocation")
    assert 'value="5"' in form
    await admin.send("/hubs/hub3/allocation", weight="4", takes="drained", max_devices="250", region="eu")
    kept = factory.hubs["hub3"]
    assert (kept["allocationWeight"], kept["draining"], kept["maxDevices"], kept["region"]) == (4, True, 250, "eu")
    text = await admin.read("/hubs")
    assert "drained" in text
    assert "of 250" in text
    assert "A number from 1 up" in await admin.send("/hubs/hub3/allocation", weight="4", max_devices="-1", expected=422)
    await admin.send("/hubs/hub3/check")
    text = await admin.read("/hubs")
    assert "unreachable" in text
    assert "no &lt;answer&gt;" in text
    assert "takes no new devices" in await admin.read("/hubs/hub3/unlink")
    await admin.send("/hubs/hub3/unlink")
    assert "hub3" not in factory.hubs


async def test_a_hub_elsewhere_is_linked_and_its_key_never_shown(admin: Visitor, factory: Standin) -> None:
    text = f"HostName=east.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"
    page = await admin.send("/link/hub", connection_string=text, name="", weight="x", expected=422)
    assert KEY not in page
    assert "from 1 to 1000" in page
    page = await admin.send("/link/hub", connection_string=text, name="", weight="2")
    assert "Hub east at east.azure-devices.net is linked" in page
    assert KEY not in page
    page = await admin.send("/link/hub", connection_string="HostName=x", name="x", weight="1", expected=422)
    assert "SharedAccessKeyName" in page


async def test_wrong_hub_fields(admin: Visitor, factory: Standin) -> None:
    text = await admin.send("/new/hub", name="a b", host_names=" ", weight="1", expected=422)
    assert 'id="name-error"' in text
    assert 'id="host_names-error"' in text
    assert "exists" in await admin.send("/new/hub", name="hub1", host_names="x", weight="1", expected=409)


# ------------------------------------------------------------ devices


async def test_the_explorer_starts_with_the_first_hub(admin: Visitor, factory: Standin) -> None:
    answer = await admin.client.get("/devices", allow_redirects=False)
    assert answer.headers["Location"] == "/devices/hub1"
    text = await admin.read("/devices/hub1")
    assert "sensor-1" in text
    assert "Connected" in text
    assert 'data-events="/live/hub1"' in text
    assert "No device lives in hub2 yet" in await admin.read("/devices/hub2")


async def test_a_device_with_twin_and_telemetry(admin: Visitor, factory: Standin) -> None:
    factory.add_message("hub1", "sensor-1", {"temperature": 21.5})
    text = await admin.read("/devices/hub1/sensor-1")
    assert "&#34;battery&#34;: 7" in text
    assert "version 4" in text
    assert "{&#34;temperature&#34;: 21.5}" in text
    assert 'data-stream="/live/hub1/sensor-1"' in text
    assert "hub1 has no such device" in await admin.read("/devices/hub1/nobody", 404)


async def test_ids_with_every_allowed_character(admin: Visitor, factory: Standin) -> None:
    odd = "a-:.+%_#*?!(),=@;$'b"
    factory.add_device("hub1", odd)
    listing = await admin.read("/devices/hub1")
    address = listing.partition('href="/devices/hub1/')[2].partition('"')[0]
    assert "a-:.+%_#*?!(),=@;$&#39;b" in await admin.read(f"/devices/hub1/{address}")


@pytest.mark.parametrize("path", ["/enrollments/%2e%2e", "/registrations/%2e", "/devices/hub1/%2e%2e", "/groups/%2e"])
async def test_ids_that_would_change_the_path(admin: Visitor, factory: Standin, path: str) -> None:
    answer = await admin.client.get(URL(path, encoded=True))
    assert answer.status == 404
