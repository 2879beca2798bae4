"""Jobs, one device's twin, methods and messages, keys and rules, in a real browser against a real server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from azure.iot.device import MethodResponse
from azure.iot.device.aio import IoTHubDeviceClient

from homeport.client import (
    Configuration,
    ConfigurationContent,
    ConfigurationMetrics,
    HomeportAdminClient,
    HubClient,
)
from tests.browser.chromium import Tab
from tests.browser.conftest import Portal

LIMIT = 15.0


@pytest.fixture
def hub(portal: Portal) -> Iterator[HubClient]:
    with HubClient.create_from_connection_string(
        portal.values["HOMEPORT_HUB_CONNECTION_STRING"], ca_file=portal.values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


@pytest.fixture
async def device(portal: Portal, hub: HubClient, device_id: str) -> AsyncIterator[IoTHubDeviceClient]:
    """A connected device that answers methods."""
    authentication = hub.create_device(device_id).authentication
    assert authentication is not None
    assert authentication.symmetric_key is not None
    assert authentication.symmetric_key.primary_key is not None
    client = IoTHubDeviceClient.create_from_symmetric_key(
        authentication.symmetric_key.primary_key, hub.host_name, device_id, server_verification_cert=portal.ca
    )

    async def answer(request: Any) -> None:
        said = MethodResponse.create_from_method_request(request, 207, {"heard": request.payload})
        await client.send_method_response(said)

    client.on_method_request_received = answer
    await client.connect()
    yield client
    await client.shutdown()


async def page_of(tab: Tab, portal: Portal, device_id: str, what: str = "") -> None:
    await tab.go(f"{portal.url}/devices/hub1/{device_id}{what}")


async def test_a_method_is_called_and_a_message_arrives(
    tab: Tab, portal: Portal, device: IoTHubDeviceClient, device_id: str
) -> None:
    await page_of(tab, portal, device_id)
    await tab.submit("a[href$='/method']")
    await tab.fill("#method", "ring")
    await tab.fill("#payload", '{"times": 3}')
    await tab.submit(".sheet .primary")
    assert '"times": 3' in await tab.text(".answer")
    assert "207" in await tab.text(".answer")

    arrived: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def hear(message: Any) -> None:
        loop.call_soon_threadsafe(arrived.put_nowait, message)

    device.on_message_received = hear
    await page_of(tab, portal, device_id, "/message")
    await tab.fill("#body", "blink <twice>")
    await tab.fill("#properties", "priority=high")
    await tab.submit(".sheet .primary")
    assert "The message is queued" in await tab.text(".banner")
    async with asyncio.timeout(LIMIT):
        message = await arrived.get()
    assert (message.data, message.custom_properties["priority"]) == (b"blink <twice>", "high")


async def test_a_queue_is_filled_and_emptied(tab: Tab, portal: Portal, hub: HubClient, device_id: str) -> None:
    hub.create_device(device_id)
    for number in (1, 2):
        await page_of(tab, portal, device_id, "/message")
        await tab.fill("#body", f"message {number}")
        await tab.submit(".sheet .primary")
    assert "2 messages wait" in await tab.text(".head")
    await tab.submit("form[action$='/purge'] button")
    assert "2 messages are gone" in await tab.text(".banner")
    assert "The queue is empty" in await tab.text(".head")


async def test_a_twin_is_edited_and_a_conflict_is_told(
    tab: Tab, portal: Portal, hub: HubClient, device_id: str
) -> None:
    hub.create_device(device_id)
    hub.create_module(device_id, "camera")
    await page_of(tab, portal, device_id, "/twin")
    await tab.fill("#desired", '{"rate": ')
    await tab.until("document.querySelector('#desired-live').textContent.startsWith('Not JSON yet')")
    await tab.fill("#desired", '{"rate": 60}')
    await tab.submit(".sheet .primary")
    assert '"rate": 60' in await tab.text("main")
    properties = hub.get_twin(device_id).properties
    assert properties is not None
    assert properties.desired["rate"] == 60

    await page_of(tab, portal, device_id, "/twin")
    hub.update_twin(device_id, tags={"meanwhile": True})
    await tab.fill("#tags", '{"mine": 1}')
    await tab.submit(".sheet .primary")
    assert "was changed meanwhile" in await tab.text(".banner")
    assert hub.get_twin(device_id).tags == {"meanwhile": True}
    # The browser reports the refusal; nothing else may be wrong.
    assert [complaint for complaint in tab.complaints if "412" not in complaint] == []
    tab.complaints.clear()

    await page_of(tab, portal, device_id)
    await tab.submit("a[href$='/modules/camera']")
    assert "module of" in await tab.text(".head")


async def test_a_job_from_the_form_to_its_outcomes(
    tab: Tab, portal: Portal, device: IoTHubDeviceClient, hub: HubClient, device_id: str
) -> None:
    absent = f"{device_id}-absent"
    hub.create_device(absent)
    await tab.go(f"{portal.url}/jobs")
    await tab.submit("a[href^='/new/jobs/']")
    assert await tab.run("getComputedStyle(document.querySelector('.when-method')).display") == "none"
    await tab.click("[name=task][value=method]")
    assert await tab.run("getComputedStyle(document.querySelector('.when-method')).display") != "none"
    assert await tab.run("getComputedStyle(document.querySelector('.when-twin')).display") == "none"
    await tab.fill("#condition", f"deviceId IN ['{device_id}', '{absent}']")
    await tab.fill("#method", "ring")
    await tab.fill("#id", f"ring-{device_id}")
    await tab.submit(".sheet .primary")
    # The page keeps itself current until the job has ended.
    await tab.until("document.querySelector('#live .head .pill').textContent === 'completed'")
    text = await tab.text("main")
    assert '207 {"heard": null}' in text
    assert "DeviceNotOnline" in text
    await tab.submit("a[href='?status=failed']")
    table = await tab.text("table")
    assert absent in table
    assert "207" not in table


async def test_a_job_for_later_is_cancelled(tab: Tab, portal: Portal, hub: HubClient, device_id: str) -> None:
    hub.create_device(device_id)
    await tab.go(f"{portal.url}/new/jobs/hub1")
    await tab.fill("#condition", f"deviceId = '{device_id}'")
    await tab.fill("#tags", '{"later": true}')
    await tab.fill("#start", "2999-01-01 00:00")
    await tab.fill("#id", f"later-{device_id}")
    await tab.submit(".sheet .primary")
    assert "scheduled" in await tab.text(".head")
    await tab.submit("form[action$='/cancel'] button")
    assert "is cancelled" in await tab.text(".banner")
    assert hub.get_job(f"later-{device_id}").status == "cancelled"


async def test_a_configuration_and_its_metrics(tab: Tab, portal: Portal, hub: HubClient, device_id: str) -> None:
    hub.create_device(device_id)
    hub.create_configuration(
        Configuration(
            id=f"cfg-{device_id}",
            content=ConfigurationContent(device_content={"properties.desired.rate": 60}),
            target_condition=f"deviceId = '{device_id}'",
            metrics=ConfigurationMetrics(
                queries={"set": "SELECT deviceId FROM devices WHERE properties.desired.rate = 60"}
            ),
        )
    )
    await tab.go(f"{portal.url}/configurations")
    await tab.submit(f"a[href$='/cfg-{device_id}']")
    await tab.until("document.querySelectorAll('#live td strong')[1]?.textContent === '1'")
    assert "properties.desired.rate" in await tab.text("main")
    await page_of(tab, portal, device_id)
    assert f"cfg-{device_id}" in await tab.text("main")


async def test_keys_on_demand_and_rotated(tab: Tab, portal: Portal) -> None:
    with HomeportAdminClient.create_from_connection_string(
        portal.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=portal.values["HOMEPORT_CA_FILE"]
    ) as admin:
        made = admin.create_policy("browser-ci", ["EnrollmentRead"])
        assert made.primary_key is not None
        await tab.go(f"{portal.url}/policies")
        await tab.submit("a[href='/policies/browser-ci']")
        assert made.primary_key not in await tab.text()
        await tab.submit("form[action$='/keys'] button")
        assert made.primary_key in await tab.text(".secrets")
        await tab.submit("a[href$='/rotate/primary']")
        await tab.submit("form[action$='/rotate'] .solid")
        shown = await tab.text(".secrets")
        assert made.primary_key not in shown
        assert (admin.policy_keys("browser-ci").primary_key or "-") in shown
        await tab.go(f"{portal.url}/policies/browser-ci")
        assert await tab.run("document.querySelector('.secrets')") is None


async def test_a_rule_is_added_tried_and_removed(tab: Tab, portal: Portal) -> None:
    await tab.go(f"{portal.url}/ip-filter")
    await tab.fill("#name", "press-hall")
    await tab.fill("#network", "10.9.0.0/16")
    await tab.run("document.querySelector('#action').value = 'deny'")
    await tab.run("document.querySelector('#target').value = 'devices'")
    await tab.submit("form[action='/ip-filter/add'] .primary")
    assert "press-hall" in await tab.text("table")
    await tab.fill("#address", "10.9.1.1")
    await tab.submit("form[method=get] button")
    assert "denied by press-hall" in (await tab.text("main")).replace("\n", " ")
    await tab.submit("form[action='/ip-filter/remove'] button")
    assert "Rule press-hall is gone" in await tab.text(".banner")


async def test_authorities(tab: Tab, portal: Portal) -> None:
    with HomeportAdminClient.create_from_connection_string(
        portal.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=portal.values["HOMEPORT_CA_FILE"]
    ) as admin:
        admin.create_certificate_authority("browser-root")
        admin.put_certificate_policy("browser-policy", authority="browser-root")
    await tab.go(f"{portal.url}/authorities")
    await tab.submit("a[href='/authorities/browser-root']")
    text = await tab.text("main")
    assert "browser-policy" in text
    assert "It has issued none yet." in text


PAGES = (
    "/jobs/hub1",
    "/new/jobs/hub1",
    "/configurations/hub1",
    "/policies",
    "/policies/provisioningserviceowner",
    "/authorities",
    "/ip-filter",
    "/devices/hub1/{device}/twin",
    "/devices/hub1/{device}/method",
    "/devices/hub1/{device}/message",
)


@pytest.mark.parametrize("width", [390, 1280])
async def test_no_page_is_wider_than_its_window(
    tab: Tab, portal: Portal, hub: HubClient, device_id: str, width: int
) -> None:
    hub.create_device(device_id)
    await tab.look(width=width, height=844)
    wide = {}
    for path in PAGES:
        await tab.go(portal.url + path.format(device=device_id))
        wide[path] = await tab.run("document.documentElement.scrollWidth - window.innerWidth")
    assert {path: more for path, more in wide.items() if more > 0} == {}
