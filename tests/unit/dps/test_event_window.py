from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from homeport.dps.events.cloud_event import binary, cloud_event, structured
from homeport.dps.events.ports import Answer
from homeport.dps.events.post import Delivered, Later, Never, judge
from homeport.dps.events.window import Window
from homeport.dps.model import Filter, Recorded
from homeport.security.webhooks import signature

NOW = datetime(2026, 3, 14, tzinfo=UTC)


def recorded(seq: int, subject: str, kind: str = "device.assigned") -> Recorded:
    document = {
        "at": "2026-03-14T12:00:00.0000000Z",
        "kind": kind,
        "subject": subject,
        "by": {"kind": "device", "name": "ä"},
        "data": {"assignedHub": "h"},
    }
    return Recorded(seq=seq, at=NOW, kind=kind, subject=subject, document=document, hash=b"")


@given(
    subjects=st.lists(st.sampled_from(["a", "A", "b", "c"]), min_size=1, max_size=30),
    luck=st.lists(st.booleans(), max_size=200),
    at_once=st.integers(1, 5),
)
def test_each_subject_in_order_and_nothing_forgotten(subjects: list[str], luck: list[bool], at_once: int) -> None:
    window, sent, fortune, now = Window(10, size=8), [], iter(luck), NOW
    waiting = [recorded(11 + number, subject) for number, subject in enumerate(subjects)]
    while waiting or window.delivered < 10 + len(subjects):
        while waiting and window.room:
            window.add(waiting.pop(0))
        items = window.take(now, at_once)
        assert len({item.recorded.subject.lower() for item in items}) == len(items)
        before = window.delivered
        for item in items:
            if next(fortune, True):
                window.done(item)
                sent.append((item.recorded.subject.lower(), item.recorded.seq))
            else:
                window.later(item, now + timedelta(seconds=1))
        assert window.delivered >= before
        done = {seq for _, seq in sent}
        assert all(seq in done for seq in range(11, window.delivered + 1))
        now += timedelta(seconds=1)
    for subject in "abc":
        numbers = [seq for name, seq in sent if name == subject]
        assert numbers == sorted(numbers)
    assert len(sent) == len(subjects)


def test_one_that_fails_holds_up_its_own_subject_only() -> None:
    window = Window(0)
    for seq, subject in enumerate(["a", "a", "b"], 1):
        window.add(recorded(seq, subject))
    first, other = window.take(NOW, 8)
    window.later(first, NOW + timedelta(seconds=5))
    window.done(other)
    assert window.take(NOW, 8) == []
    assert (window.delivered, window.next_time()) == (0, NOW + timedelta(seconds=5))
    assert window.take(NOW + timedelta(seconds=5), 8) == [first]
    window.done(first)
    assert window.delivered == 1


def test_what_is_not_wanted_is_passed_over() -> None:
    window = Window(0)
    window.skip(4)
    assert (window.read, window.delivered) == (4, 4)


def test_filters() -> None:
    event = recorded(1, "devices/Line-1", "device.assigned")
    assert Filter().wants(event)
    assert Filter(types=("io.homeport.device.*",)).wants(event)
    assert Filter(types=("io.homeport.hub.*", "io.homeport.device.assigned")).wants(event)
    assert not Filter(types=("io.homeport.device.assign",)).wants(event)
    assert Filter(subject_prefix="devices/line-").wants(event)
    assert not Filter(subject_prefix="devices/line-2").wants(event)


def test_both_modes_say_the_same() -> None:
    event = cloud_event(recorded(7, "devices/ä b%"), "urn:homeport:x")
    headers, body = structured(event)
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert b'"specversion":"1.0"' in body
    headers, body = binary(event)
    assert headers["ce-id"] == "7"
    assert headers["ce-type"] == "io.homeport.device.assigned"
    assert headers["ce-subject"] == "devices/%C3%A4 b%25"
    assert headers["Content-Type"] == "application/json"
    assert b"assignedHub" in body


def test_the_signature_is_the_one_of_standard_webhooks() -> None:
    # The example of the specification (standard-webhooks, "Verifying webhook authenticity").
    headers = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_answers_mean_once_more_or_never() -> None:
    def answer(status: int, **headers: str) -> Answer:
        return Answer(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    assert judge(answer(204)) == Delivered()
    assert judge(answer(503, retry_after="7")) == Later("the webhook answered 503", 7)
    assert judge(answer(429, retry_after="99999999")) == Later("the webhook answered 429", 3600)
    assert judge(answer(500, retry_after="soon")) == Later("the webhook answered 500", None)
    assert isinstance(judge(answer(301)), Never)
    assert isinstance(judge(answer(400)), Never)
