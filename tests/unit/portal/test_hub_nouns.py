"""Jobs, configurations, and what an operator does with one device."""

from typing import Any

import pytest

from homeport.client import CloudToDeviceMessage, ThrottledError
from homeport.client.aio import HubClient
from tests.unit.portal.conftest import Visitor
from tests.unit.portal.standin import Standin

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def hub(service: Standin) -> Standin:
    service.add_hub("hub1", "127.0.0.1")
    service.add_device("hub1", "press-1", tags={"site": "north"}, desired={"rate": 5, "$version": 2, "$metadata": {}})
    return service


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, CloudToDeviceMessage, str | None]]:
    """Messages go over AMQP, which the stand-in does not speak."""
    messages: list[tuple[str, CloudToDeviceMessage, str | None]] = []

    async def keep(
        client: HubClient, device_id: str, message: CloudToDeviceMessage, *, module_id: str | None = None
    ) -> None:
        del client
        if message.body == b"one too many":
            raise ThrottledError("50 <messages> wait", status=403, code="amqp:resource-limit-exceeded")
        messages.append((device_id, message, module_id))

    monkeypatch.setattr(HubClient, "send_message", keep)
    return messages


# ---------------------------------------------------------------- jobs


async def test_without_a_hub_there_is_a_hint(admin: Visitor) -> None:
    assert "serves no hub" in await admin.read("/jobs")
    assert "serves no hub" in await admin.read("/configurations")


async def test_jobs_newest_first_and_narrowed(hub: Standin, admin: Visitor) -> None:
    assert "No job in the last 30 days" in await admin.read("/jobs")
    hub.hub.add_job("a-old", createdTime="2026-03-01T00:00:00Z", queryCondition=f"tags.a = '{EVIL}'")
    hub.hub.add_job("b-new", createdTime="2026-03-02T00:00:00Z", status="running")
    text = await admin.read("/jobs/hub1")
    assert text.index("b-new") < text.index("a-old")
    assert "2 of 3" in text
    assert "1 failed" in text
    assert EVIL not in text
    narrowed = await admin.read("/jobs/hub1?status=running")
    assert "b-new" in narrowed
    assert "a-old" not in narrowed
    assert "No job is scheduled" in await admin.read("/jobs/hub1?status=scheduled")
    assert "a-old" in await admin.read("/jobs/hub1?status=nonsense")
    await admin.read("/jobs/nohub", status=404)


async def test_a_job_with_its_outcomes(hub: Standin, admin: Visitor) -> None:
    method = {"methodName": "ring", "payload": {"times": 2}, "responseTimeoutInSeconds": 30}
    hub.hub.add_job("ring", type="scheduleDeviceMethod", updateTwin=None, cloudToDeviceMethod=method)
    hub.hub.add_part("ring", "press-1", outcome={"deviceMethodResponse": {"status": 207, "payload": {"x": EVIL}}})
    hub.hub.add_part("ring", "press-2", status="failed", error={"code": "DeviceNotOnline", "description": EVIL})
    text = await admin.read("/jobs/hub1/ring")
    for words in ("207", "DeviceNotOnline", 'href="/devices/hub1/press-2"', "&#34;times&#34;: 2"):
        assert words in text
    assert EVIL not in text
    assert "/cancel" not in text, "it has ended"
    failed = await admin.read("/jobs/hub1/ring?status=failed")
    assert "press-2" in failed
    assert "press-1" not in failed
    assert "there is no job nothing" in await admin.read("/jobs/hub1/nothing", status=404)


async def test_a_job_is_cancelled(hub: Standin, admin: Visitor) -> None:
    hub.hub.add_job("slow", status="running")
    assert 'action="/jobs/hub1/slow/cancel"' in await admin.read("/jobs/hub1/slow")
    assert "Job slow is cancelled." in await admin.send("/jobs/hub1/slow/cancel")
    hub.hub.add_job("done")
    assert "Job done had ended already: completed." in await admin.send("/jobs/hub1/done/cancel")


async def test_a_twin_update_is_scheduled(hub: Standin, admin: Visitor) -> None:
    assert "New job" in await admin.read("/new/jobs/hub1")
    page = await admin.send(
        "/new/jobs/hub1",
        id="j1",
        which="some",
        condition="tags.site = 'north'",
        task="twin",
        desired='{"rate": 60}',
        tags="",
        start="2026-05-01 06:00",
        max_seconds="90",
    )
    assert "Job j1 is queued." in page
    made = hub.hub.jobs["j1"]
    assert made["queryCondition"] == "tags.site = 'north'"
    assert made["updateTwin"] == {"etag": "*", "properties": {"desired": {"rate": 60}}}
    assert (made["startTime"], made["maxExecutionTimeInSeconds"]) == ("2026-05-01T06:00:00Z", 90)


async def test_a_method_call_is_scheduled(hub: Standin, admin: Visitor) -> None:
    fields: dict[str, Any] = {
        "id": "j2",
        "which": "all",
        "task": "method",
        "method": "ring",
        "payload": "[1]",
        "connect_timeout": "5",
    }
    await admin.send("/new/jobs/hub1", **fields)
    made = hub.hub.jobs["j2"]
    assert made["queryCondition"] == "*"
    assert made["cloudToDeviceMethod"] == {"methodName": "ring", "payload": [1], "connectTimeoutInSeconds": 5}


JOB: dict[str, Any] = {"id": "j", "which": "some", "condition": "tags.a = 1", "task": "twin", "desired": '{"a": 1}'}


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"id": "a/b"}, 422, "1 to 128 letters"),
        ({"condition": " "}, 422, "Say which devices"),
        ({"desired": "{"}, 422, "This is not JSON"),
        ({"desired": "NaN"}, 422, "NaN is no JSON"),
        ({"desired": "[1]"}, 422, "but no object"),
        ({"desired": ""}, 422, "Say what to write"),
        ({"task": "method"}, 422, "Give the method"),
        ({"start": "soon"}, 422, "A time such as"),
        ({"max_seconds": "0"}, 422, "A number from 1"),
        ({"condition": "tags.a == 1"}, 400, "character &lt;8&gt;"),
        ({"id": "taken"}, 409, "JobAlreadyExists"),
    ],
)
async def test_what_is_no_job(hub: Standin, admin: Visitor, change: dict[str, Any], status: int, words: str) -> None:
    hub.hub.add_job("taken")
    page = await admin.send("/new/jobs/hub1", expected=status, **(JOB | change))
    assert words in page
    assert set(hub.hub.jobs) == {"taken"}


# ---------------------------------------------------------------- configurations


async def test_configurations_and_their_metrics(hub: Standin, admin: Visitor) -> None:
    assert "has no configuration" in await admin.read("/configurations")
    hub.hub.add_configuration("rate-60", labels={"env": EVIL})
    hub.hub.add_configuration("uncounted", priority=99, systemMetrics={"results": {}, "queries": {"t": "q"}})
    text = await admin.read("/configurations/hub1")
    assert text.index("uncounted") < text.index("rate-60"), "the highest priority first"
    assert "5 of 7" in text
    assert "not counted yet" in text
    shown = await admin.read("/configurations/hub1/rate-60")
    for words in ("properties.desired.rate", "tags.site = &#39;north&#39;", "SELECT deviceId FROM devices", "not yet"):
        assert words in shown
    assert EVIL not in shown
    await admin.read("/configurations/hub1/nothing", status=404)


# ---------------------------------------------------------------- many devices


async def test_devices_are_found_by_a_condition(hub: Standin, admin: Visitor) -> None:
    hub.hub.found = [{"deviceId": "press-1", "connectionState": "Connected"}]
    text = await admin.read("/devices/hub1?q=tags.site='north'")
    assert hub.hub.asked == ["SELECT * FROM devices WHERE tags.site='north'"]
    assert "press-1" in text
    assert 'href="/new/jobs/hub1?where=tags.site%3D%27north%27"' in text
    assert "tags.site=&#39;north&#39;" in await admin.read("/new/jobs/hub1?where=tags.site%3D%27north%27")
    hub.hub.found = []
    assert "No device of hub1 satisfies" in await admin.read("/devices/hub1?q=tags.site='west'")
    assert "character &lt;34&gt;" in await admin.read("/devices/hub1?q=tags.site == 1")
    # What can be the beginning of an id is looked for as one, in either letter case.
    assert "press-1" in await admin.read("/devices/hub1?q=PRE")


# ---------------------------------------------------------------- one device


async def test_a_twin_is_edited(hub: Standin, admin: Visitor) -> None:
    form = await admin.read("/devices/hub1/press-1/twin")
    assert "&#34;rate&#34;: 5" in form
    assert "$version" not in form
    fields: dict[str, Any] = {"tags": '{"site": "south"}', "desired": "", "etag": "AQ=="}
    assert "The twin is written" in await admin.send("/devices/hub1/press-1/twin", **fields)
    assert hub.hub.written == [("press-1", {"tags": {"site": "south"}, "properties": {"desired": {}}}, '"AQ=="')]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"tags": "{"}, 422, "This is not JSON"),
        ({"desired": "1"}, 422, "but no object"),
        ({"etag": "stale"}, 412, "was changed meanwhile"),
        ({"tags": '{"refuse": 1}'}, 400, "hold &lt;what&gt; twins cannot"),
    ],
)
async def test_a_twin_stays_as_it_was(
    hub: Standin, admin: Visitor, change: dict[str, Any], status: int, words: str
) -> None:
    fields: dict[str, Any] = {"tags": "{}", "desired": '{"typed": 1}', "etag": "AQ=="} | change
    page = await admin.send("/devices/hub1/press-1/twin", expected=status, **fields)
    assert words in page
    assert change.get("desired") or "typed" in page, "what was typed stays"
    assert hub.hub.written == []


async def test_a_method_is_called(hub: Standin, admin: Visitor) -> None:
    assert "Call a method" in await admin.read("/devices/hub1/press-1/method")
    hub.hub.answer = {"status": 207, "payload": {"said": EVIL}}
    page = await admin.send("/devices/hub1/press-1/method", method="ring", payload='{"n": 1}', wait="5")
    assert "Answer of the device" in page
    assert "207" in page
    assert EVIL not in page
    (called,) = hub.hub.called
    assert called == (
        "press-1",
        {"methodName": "ring", "payload": {"n": 1}, "responseTimeoutInSeconds": 5, "connectTimeoutInSeconds": 0},
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"method": ""}, "Give the method"),
        ({"method": "a/b"}, "no slash"),
        ({"method": "ring", "payload": "{"}, "This is not JSON"),
        ({"method": "ring", "wait": "300"}, "A number from 5 to 15"),
        ({"method": "ring"}, "Timed out waiting for device to connect."),
    ],
)
async def test_a_method_that_comes_to_nothing(hub: Standin, admin: Visitor, fields: dict[str, Any], words: str) -> None:
    del hub
    assert words in await admin.send("/devices/hub1/press-1/method", expected=422, **fields)


async def test_a_message_is_sent(hub: Standin, admin: Visitor, sent: list[Any]) -> None:
    hub.devices["hub1"]["press-1"]["cloudToDeviceMessageCount"] = 3
    assert "3 messages wait" in await admin.read("/devices/hub1/press-1/message")
    fields: dict[str, Any] = {
        "body": "blink",
        "properties": "a=1\r\n\r\nb = 2=3\r\n",
        "content_type": "text/plain",
        "message_id": "m1",
        "acknowledgement": "full",
    }
    assert "The message is queued" in await admin.send("/devices/hub1/press-1/message", **fields)
    ((device_id, message, module_id),) = sent
    assert (device_id, module_id) == ("press-1", None)
    assert (message.body, message.message_id, message.content_type) == (b"blink", "m1", "text/plain")
    assert message.properties == {"a": "1", "b": "2=3"}
    assert message.acknowledgement == "full"


async def test_a_message_that_is_not_taken(hub: Standin, admin: Visitor, sent: list[Any]) -> None:
    del hub
    path = "/devices/hub1/press-1/message"
    assert "name=value" in await admin.send(path, expected=422, body="x", properties="nonsense")
    assert "50 &lt;messages&gt; wait" in await admin.send(path, expected=403, body="one too many")
    await admin.send("/devices/hub1/nobody/message", expected=404, body="x")
    assert sent == []


async def test_a_queue_is_emptied(hub: Standin, admin: Visitor) -> None:
    hub.hub.purged = 2
    assert "2 messages are gone" in await admin.send("/devices/hub1/press-1/purge")
    assert "The queue was empty" in await admin.send("/devices/hub1/press-1/purge")


async def test_modules(hub: Standin, admin: Visitor, sent: list[Any]) -> None:
    hub.hub.modules["press-1/cam#1"] = {
        "deviceId": "press-1",
        "moduleId": "cam#1",
        "managedBy": EVIL,
        "tags": {"lens": "wide"},
        "properties": {"desired": {}, "reported": {}},
    }
    page = await admin.read("/devices/hub1/press-1")
    assert 'href="/devices/hub1/press-1/modules/cam%231"' in page
    assert EVIL not in page
    base = "/devices/hub1/press-1/modules/cam%231"
    assert "&#34;lens&#34;: &#34;wide&#34;" in await admin.read(base)
    await admin.send(f"{base}/twin", tags="{}", desired="{}")
    assert hub.hub.written[0][0] == "press-1/cam#1"
    await admin.send(f"{base}/message", body="x")
    assert sent[0][2] == "cam#1"
    hub.hub.answer = {"status": 200, "payload": None}
    await admin.send(f"{base}/method", method="ring")
    assert hub.hub.called[0][0] == "press-1/modules/cam#1"
    await admin.read("/devices/hub1/press-1/modules/nothing", status=404)


# ---------------------------------------------------------------- who may

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("/new/jobs/hub1", JOB),
    ("/jobs/hub1/slow/cancel", {}),
    ("/devices/hub1/press-1/twin", {"tags": "{}", "desired": "{}"}),
    ("/devices/hub1/press-1/method", {"method": "ring"}),
    ("/devices/hub1/press-1/message", {"body": "x"}),
    ("/devices/hub1/press-1/purge", {}),
]


@pytest.mark.parametrize(("path", "fields"), CHANGES)
async def test_a_reader_changes_nothing_in_a_hub(
    hub: Standin, stranger: Visitor, sent: list[Any], path: str, fields: dict[str, Any]
) -> None:
    hub.administrators["hpt_r"] = {"name": "rita", "role": "reader"}
    hub.hub.add_job("slow", status="running")
    hub.hub.answer = {"status": 200, "payload": None}
    await stranger.sign_in("hpt_r")
    assert "You are rita, reader." in await stranger.send(path, expected=403, **fields)
    memory = hub.hub
    assert (memory.written, memory.called, sent, set(memory.jobs)) == ([], [], [], {"slow"})
    assert memory.jobs["slow"]["status"] == "running"


async def test_who_was_an_operator_at_the_door_may_not_be_one_any_more(hub: Standin, stranger: Visitor) -> None:
    hub.administrators["hpt_o"] = {"name": "otto", "role": "operator"}
    await stranger.sign_in("hpt_o")
    assert "Edit the twin" in await stranger.read("/devices/hub1/press-1")
    hub.administrators["hpt_o"]["role"] = "reader"
    await stranger.send("/devices/hub1/press-1/purge", expected=403)
    assert "press-1" in await stranger.read("/devices/hub1/press-1")
    hub.administrators.clear()
    assert "Sign in with your administrator" in await stranger.read("/devices/hub1/press-1")


async def test_pages_offer_a_reader_no_change(hub: Standin, stranger: Visitor) -> None:
    hub.administrators["hpt_r"] = {"name": "rita", "role": "reader"}
    hub.hub.add_job("slow", status="running")
    await stranger.sign_in("hpt_r")
    assert "Edit the twin" not in await stranger.read("/devices/hub1/press-1")
    assert "/new/jobs" not in await stranger.read("/jobs/hub1")
    assert "/cancel" not in await stranger.read("/jobs/hub1/slow")
