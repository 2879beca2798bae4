import json
from datetime import UTC, datetime, timedelta

import pytest

from homeport.portal.rendering import Templates, ago, compact, iso, moment, pretty, segment, visible

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_text_without_tricks_stays_as_it_is() -> None:
    assert visible("Grüße, 温度 23 °C\n\t🌡") == "Grüße, 温度 23 °C\n\t🌡"
    assert visible(None) == ""
    assert visible(7) == "7"


@pytest.mark.parametrize("trick", ["\u202e", "\u200b", "\x00", "\x1b", "\u2066", "\U000e0041", "\ud800", "\r"])
def test_what_cannot_be_seen_is_made_visible(trick: str) -> None:
    shown = visible(f"a{trick}b")
    assert trick not in shown
    assert f"{ord(trick):04x}" in shown
    shown.encode()


def test_long_text_is_cut() -> None:
    assert visible("x" * 1000, 10) == "x" * 10 + "…"


def test_json_is_readable_and_bounded() -> None:
    assert pretty({"a": [1, "ü"]}) == '{\n  "a": [\n    1,\n    "ü"\n  ]\n}'
    assert len(pretty(["x" * 100_000], 50)) == 51
    assert "\u202e" not in pretty({"\u202e": "\u202e"})
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    assert pretty(deep) == "(cannot be shown)"


def test_short_json_stays_on_one_line() -> None:
    assert compact({"a": 1}, 100) == '{"a": 1}'
    assert json.loads(compact({"a": "x" * 200}, 1000)) == {"a": "x" * 200}
    assert "\n" in compact({"a": "x" * 200}, 1000)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=2), "just now"),
        (timedelta(seconds=59), "59 seconds ago"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=23, minutes=59), "23 hours ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(minutes=-7), "in 7 minutes"),
    ],
)
def test_times_are_told_roughly(span: timedelta, words: str) -> None:
    assert ago(NOW - span, NOW) == words


def test_what_has_not_happened() -> None:
    never = datetime(1, 1, 1, tzinfo=UTC)
    assert (ago(never, NOW), moment(never), iso(never)) == ("never", "never", "")
    assert (ago(None, NOW), moment(None), iso(None)) == ("never", "never", "")


def test_exact_times() -> None:
    assert moment(NOW) == "2026-03-01 12:00:00 UTC"
    assert iso(NOW) == "2026-03-01T12:00:00.000Z"


def test_ids_in_paths() -> None:
    assert segment("a/b?c#d%'\"<") == "a%2Fb%3Fc%23d%25%27%22%3C"


def test_scripts_never_write_markup_and_styles_never_leave_the_machine() -> None:
    files = Templates().files
    assert {"portal.css", "portal.js", "telemetry.js", "mark.svg"} <= files.keys()
    for name, file in files.items():
        text = file.content.decode()
        for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "url(http"):
            assert forbidden not in text, (name, forbidden)
