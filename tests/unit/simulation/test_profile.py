"""Profiles: those that come with Homeport, and what is wrong with others."""

import pytest

from homeport.simulation.profile import (
    ProfileError,
    built_in_profiles,
    load_profile,
    read_profile,
    seconds_of,
)


def test_those_that_come_along_can_be_read() -> None:
    found = built_in_profiles()
    assert set(found) == {"steady", "factory-day", "flapping", "commands"}
    for name, profile in found.items():
        assert profile.description, name
        assert load_profile(name) == profile


def test_a_file() -> None:
    profile = read_profile(
        "devices: 3\nduration: 2m\narrival: 500ms\ntransports: {https: 1}\n"
        "telemetry: {every: 0.5, body: [{counter: 1}]}\ntwin: {report_every: 1h}\n",
        "mine.yaml",
    )
    assert (profile.devices, profile.duration, profile.arrival) == (3, 120.0, 0.5)
    assert profile.telemetry is not None
    assert profile.telemetry.every == 0.5
    assert profile.twin is not None
    assert profile.twin.report_every == 3600.0
    assert read_profile("", "empty.yaml").devices == 20


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("devices: 0", "devices"),
        ("devices: many", "devices"),
        ("duration: soon", "duration"),
        ("duration: -1", "duration"),
        ("duration: 100000h", "duration"),
        ("speed: 3", "speed"),
        ("transports: {}", "transports"),
        ("transports: {mqtt: 0}", "transports"),
        ("transports: {mqtt: -1, https: 2}", "transports"),
        ("transports: {smoke: 1}", "smoke"),
        ("attestations: {password: 1}", "password"),
        ("telemetry: {every: 0s}", "telemetry.every"),
        ("telemetry: {jitter: 2}", "telemetry.jitter"),
        ("telemetry: {body: {normal: 3}}", "telemetry.body"),
        ("twin: {report: 3}", "twin.report"),
        ("flapping: {away: 1s}", "every"),
        ("commands: {every: true}", "every"),
        ("[1, 2]", "object"),
        ("a: [", "mine.yaml"),
        ("devices: 1\ndevices: 2", "stands twice"),
        ("&a [*a]", "mine.yaml"),
        ("!!python/object/apply:os.system [ls]", "mine.yaml"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(ProfileError, match=r"mine\.yaml") as raised:
        read_profile(text, "mine.yaml")
    assert says in str(raised.value)


def test_a_name_that_is_none() -> None:
    with pytest.raises(ProfileError, match="steady"):
        load_profile("nothing.yaml")


@pytest.mark.parametrize(
    ("given", "seconds"), [("500ms", 0.5), ("30s", 30), ("2m", 120), ("1.5 h", 5400), (7, 7), ("7", 7)]
)
def test_durations(given: float | str, seconds: float) -> None:
    assert seconds_of(given) == seconds
