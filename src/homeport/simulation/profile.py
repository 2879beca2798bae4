"""What a simulation is to be: read from YAML, checked whole before anything begins (docs/howto/simulate.md)."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from homeport.ascode.plain_yaml import read_plain
from homeport.simulation.values import TemplateError, check_template

Attestation = Literal["symmetric-key", "x509", "tpm", "key-group", "x509-group"]
Transport = Literal["mqtt", "mqtt-ws", "amqp", "amqp-ws", "https"]

MAX_DEVICES = 100_000
MAX_SECONDS = 7 * 86400.0
MAX_PROFILE_BYTES = 256 * 1024

_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}


class ProfileError(Exception):
    """A profile that cannot be followed; the text says where and why."""


def seconds_of(given: float | str) -> float:
    """Read a duration: seconds, or a text such as `500ms`, `30s`, `2m`, `1h`. Raises ValueError."""
    if isinstance(given, str):
        found = _DURATION.fullmatch(given.strip())
        if found is None:
            raise ValueError(f"{given!r} is no duration such as 500ms, 30s, 2m or 1h")
        seconds = float(found[1]) * _SECONDS[found[2]]
    else:
        seconds = float(given)
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(f"{given!r} is not between 0 and {MAX_SECONDS:g} seconds")
    return seconds


class Seconds(float):
    """A duration in seconds."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Telemetry(_Part, frozen=True, kw_only=True):
    """A message every so often; `jitter` is the part of the interval by which it varies."""

    every: Seconds = Seconds(5)
    jitter: float = 0.2
    body: Any = msgspec.field(default_factory=lambda: {"temperature": {"normal": [21, 2]}})
    properties: dict[str, Any] = msgspec.field(default_factory=dict)
    at_most: int | None = None
    """Messages of each device; then it is done."""


class Twin(_Part, frozen=True, kw_only=True):
    """Read after connecting, reported then and every so often; changes of desired properties are reported, too."""

    report_every: Seconds | None = None
    report: Any = msgspec.field(default_factory=lambda: {"firmware": "1.0"})


class Flapping(_Part, frozen=True, kw_only=True):
    """Connections that break off: stays for `every` on average, is away for `away`."""

    every: Seconds
    away: Seconds = Seconds(1)


class Commands(_Part, frozen=True, kw_only=True):
    """A direct method, called for some connected device every so often."""

    every: Seconds
    method: str = "ping"
    payload: Any = None


class Profile(_Part, frozen=True, kw_only=True):
    """One simulation. Shares are relative to each other."""

    description: str = ""
    devices: int = 20
    duration: Seconds = Seconds(30)
    arrival: Seconds = Seconds(5)
    """Over how long devices are powered on, one after another."""
    attestations: dict[Attestation, int] = msgspec.field(default_factory=lambda: {"key-group": 1})
    transports: dict[Transport, int] = msgspec.field(default_factory=lambda: {"mqtt": 1})
    tags: dict[str, Any] = msgspec.field(default_factory=dict)
    telemetry: Telemetry | None = None
    twin: Twin | None = None
    methods: bool = True
    """Whether devices answer direct methods."""
    flapping: Flapping | None = None
    commands: Commands | None = None
    leaves: bool = False
    """A device leaves as soon as it is connected and has said what there is to say, as in a factory."""


def built_in_profiles() -> dict[str, Profile]:
    """Return the profiles that come with Homeport, by name."""
    found = files("homeport.simulation") / "profiles"
    return {
        each.name.removesuffix(".yaml"): read_profile(each.read_text(encoding="utf-8"), each.name)
        for each in sorted(found.iterdir(), key=lambda each: each.name)
        if each.name.endswith(".yaml")
    }


def load_profile(name: str) -> Profile:
    """Return a built-in profile, or the one in a file. Raises ProfileError."""
    built_in = built_in_profiles()
    if name in built_in:
        return built_in[name]
    try:
        data = Path(name).read_bytes()
    except OSError as error:
        raise ProfileError(
            f"{name} is neither a file that can be read ({error.strerror}) nor one of {', '.join(built_in)}"
        ) from error
    if len(data) > MAX_PROFILE_BYTES:
        raise ProfileError(f"{name}: a profile has at most {MAX_PROFILE_BYTES} bytes")
    return read_profile(data, name)


def read_profile(text: str | bytes, source: str) -> Profile:
    """Read YAML; `source` names it in messages. Raises ProfileError."""
    try:
        document = read_plain(text if isinstance(text, str) else text.decode())
        profile = msgspec.convert(document or {}, Profile, dec_hook=_duration)
        check(profile)
    except (msgspec.ValidationError, ValueError) as error:
        raise ProfileError(f"{source}: {' '.join(str(error).split())}") from error
    return profile


def check(profile: Profile) -> None:
    """Raise ValueError with what cannot be in a profile."""
    if not 1 <= profile.devices <= MAX_DEVICES:
        raise ValueError(f"devices: {profile.devices} is not between 1 and {MAX_DEVICES}")
    for name, shares in (("attestations", profile.attestations), ("transports", profile.transports)):
        if any(share < 0 for share in shares.values()) or not any(shares.values()):
            raise ValueError(f"{name}: shares are whole numbers from 0 on, at least one of them above 0")
    if profile.telemetry is not None:
        _check_telemetry(profile.telemetry)
    if profile.twin is not None:
        if not isinstance(profile.twin.report, dict):
            raise TemplateError("twin.report: reported properties are a table of names")
        check_template(profile.twin.report, "twin.report")
    intervals = (
        ("telemetry.every", None if profile.telemetry is None else profile.telemetry.every),
        ("twin.report_every", None if profile.twin is None else profile.twin.report_every),
        ("flapping.every", None if profile.flapping is None else profile.flapping.every),
        ("commands.every", None if profile.commands is None else profile.commands.every),
    )
    for name, seconds in intervals:
        if seconds is not None and seconds <= 0:
            raise ValueError(f"{name}: an interval is longer than nothing")


def _check_telemetry(telemetry: Telemetry) -> None:
    if not 0 <= telemetry.jitter <= 1:
        raise ValueError(f"telemetry.jitter: {telemetry.jitter} is not between 0 and 1")
    check_template(telemetry.body, "telemetry.body")
    check_template(telemetry.properties, "telemetry.properties")


def _duration(kind: type, given: Any) -> Any:
    if kind is Seconds and isinstance(given, int | float | str) and not isinstance(given, bool):
        return Seconds(seconds_of(given))
    raise ValueError(f"{given!r} is no duration such as 500ms, 30s, 2m or 1h")
