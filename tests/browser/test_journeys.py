"""What an administrator does with the portal, from the door to live telemetry, in a real browser."""

import json

import pytest
from azure.iot.device import Message
from azure.iot.device.aio import IoTHubDeviceClient, ProvisioningDeviceClient
from azure.iot.device.exceptions import ClientError

from tests.browser.chromium import Tab
from tests.browser.conftest import Portal

HOSTILE = "<img src=x onerror='window.hacked = true'>"


async def register(portal: Portal, device_id: str, key: str) -> str:
    """Register with Microsoft's SDK and return the hub."""
    client = ProvisioningDeviceClient.create_from_symmetric_key(
        provisioning_host=portal.values["HOMEPORT_GLOBAL_ENDPOINT"],
        registration_id=device_id,
        id_scope=portal.values["HOMEPORT_ID_SCOPE"],
        symmetric_key=key,
        server_verification_cert=portal.ca,
    )
    try:
        result = await client.register()
    except Exception:
        # After a refusal the SDK leaves its timers running, and has no public call to end them.
        client._pipeline.shutdown(callback=lambda **_: None)
        raise
    assert result.registration_state is not None
    return str(result.registration_state.assigned_hub)


def connect(portal: Portal, hub: str, device_id: str, key: str) -> IoTHubDeviceClient:
    return IoTHubDeviceClient.create_from_symmetric_key(
        key, hub, device_id, server_verification_cert=portal.ca, connection_retry=False
    )


async def enroll(tab: Tab, portal: Portal, device_id: str) -> str:
    """Create an enrollment with generated keys through the form; return the primary key that is shown."""
    await tab.go(f"{portal.url}/new/enrollments")
    await tab.fill("[name=id]", device_id)
    await tab.fill("[name=initial_twin]", '{"tags": {"line": "press"}}')
    await tab.submit(".sheet .primary")
    return str(await tab.until("document.querySelector('.secret')?.textContent"))


async def test_the_door(visitor: Tab, portal: Portal) -> None:
    assert await visitor.run("location.pathname") == "/login"
    await visitor.fill("#token", "not the token")
    await visitor.submit("button[type=submit]")
    assert "not the token that the server printed" in await visitor.text()
    # The browser reports the 403 of the wrong token; nothing else may be wrong.
    assert [complaint for complaint in visitor.complaints if "403" not in complaint] == []
    visitor.complaints.clear()
    await visitor.fill("#token", portal.token)
    await visitor.submit("button[type=submit]")
    assert "Bring the first device home" in await visitor.text() or "Recent attempts" in await visitor.text()
    assert await visitor.run("document.cookie") == ""
    await visitor.submit(".foot button[type=submit]")
    await visitor.go(f"{portal.url}/hubs")
    assert await visitor.run("location.pathname") == "/login"


async def test_a_device_is_enrolled_and_its_keys_shown_once(tab: Tab, portal: Portal, device_id: str) -> None:
    await tab.go(f"{portal.url}/new/enrollments")
    assert await tab.run("getComputedStyle(document.querySelector('.when-tpm')).display") == "none"
    await tab.click("[name=mechanism][value=tpm]")
    assert await tab.run("getComputedStyle(document.querySelector('.when-tpm')).display") != "none"
    assert await tab.run("getComputedStyle(document.querySelector('.when-symmetricKey')).display") == "none"
    await tab.fill("[name=initial_twin]", '{"tags": ')
    await tab.until("document.querySelector('#initial_twin-live').textContent.startsWith('Not JSON yet')")

    key = await enroll(tab, portal, device_id)
    assert len(key) >= 44
    await tab.go(f"{portal.url}/enrollments/{device_id}")
    assert key not in await tab.text()
    assert '"line": "press"' in await tab.text()


async def test_a_refused_device_and_why(tab: Tab, portal: Portal, device_id: str) -> None:
    key = await enroll(tab, portal, device_id)
    await tab.go(f"{portal.url}/registrations/{device_id}")
    assert "it has not reached this server" in await tab.text()
    await tab.run("window.same = true")
    wrong = key[::-1].lstrip("=")[:43] + "="
    with pytest.raises(ClientError):
        await register(portal, device_id, wrong)
    # The page notices by itself.
    await tab.until("document.querySelector('.checks .failed') !== null")
    text = await tab.text("#live")
    assert "refused" in text
    assert "What to do" in text
    assert "tracking id" in text

    assert await register(portal, device_id, key) == portal.values["HOMEPORT_GLOBAL_ENDPOINT"]
    await tab.until("document.querySelector('#live h2')?.textContent === 'Record'")
    assert "assigned" in await tab.text("#live")
    assert await tab.run("window.same") is True, "the page was loaded again"


async def test_live_telemetry_in_the_device_explorer(tab: Tab, portal: Portal, device_id: str) -> None:
    key = await enroll(tab, portal, device_id)
    hub = await register(portal, device_id, key)
    await tab.go(f"{portal.url}/registrations/{device_id}")
    await tab.submit("a[href^='/devices/']")
    await tab.run("window.same = true")
    await tab.until("document.querySelector('#telemetry-state').textContent === 'Live'")
    assert "What the device sends appears here at once." in await tab.text("#telemetry")
    assert "Disconnected" in await tab.text(".head")

    device = connect(portal, hub, device_id, key)
    await device.connect()
    await tab.until("document.querySelector('.head .pill').textContent === 'Connected'")
    message = Message(json.dumps({"temperature": 21.5}), content_encoding="utf-8", content_type="application/json")
    message.custom_properties["alert"] = "high"
    await device.send_message(message)
    await tab.until("document.querySelector('#messages pre')?.textContent === '{\"temperature\": 21.5}'")
    assert "alert\nhigh" in await tab.text("#messages")

    hostile = Message(HOSTILE)
    hostile.custom_properties[HOSTILE] = HOSTILE
    await device.send_message(hostile)
    await tab.until("document.querySelectorAll('#messages li').length === 2")
    assert HOSTILE in await tab.text("#messages pre")
    assert await tab.run("document.querySelector('#messages img')") is None
    assert await tab.run("window.hacked") is None

    await tab.click("#telemetry-pause")
    await device.send_message(Message("while paused"))
    await tab.until("document.querySelector('#telemetry-pause').textContent === 'Resume (1)'")
    assert "while paused" not in await tab.text("#messages")
    await tab.click("#telemetry-pause")
    await tab.until("document.querySelector('#messages pre').textContent === 'while paused'")

    await device.shutdown()
    await tab.until("document.querySelector('.head .pill').textContent === 'Disconnected'")
    assert await tab.run("window.same") is True, "the page was loaded again"
    assert await tab.text("#telemetry-count") == "3"


async def test_a_hub_is_created_and_unlinked(tab: Tab, portal: Portal) -> None:
    await tab.go(f"{portal.url}/new/hub")
    await tab.fill("#name", "second")
    await tab.fill("#host_names", "127.0.54.2")
    await tab.submit(".sheet .primary")
    assert "Hub second serves 127.0.54.2" in await tab.text()
    await tab.go(f"{portal.url}/devices/second")
    assert "No device lives in second yet." in await tab.text()
    await tab.until("!document.querySelector('#livemark').hidden")
    await tab.go(f"{portal.url}/hubs/second/unlink")
    await tab.submit(".danger.solid")
    assert "it takes no new devices" in await tab.text()


async def test_the_portal_fits_a_phone(tab: Tab, portal: Portal) -> None:
    await tab.look(width=390, height=844)
    for path in ("/", "/enrollments", "/new/groups", "/attempts", "/hubs", "/devices"):
        await tab.go(portal.url + path)
        assert await tab.run("document.documentElement.scrollWidth <= innerWidth"), path
