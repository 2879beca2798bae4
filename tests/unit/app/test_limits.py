"""Limits as operators write them; and the reference page knows them all."""

import re
from pathlib import Path

import pytest

from homeport.app.config import ConfigError, load_config
from homeport.app.limits import DEFAULT_LIMITS, names, read_limits
from homeport.limits import Rate

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "limits.md"


def test_the_reference_page_has_every_limit_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (\S+) \|", PAGE.read_text(), re.MULTILINE))
    assert rows == {name: "off" if default is None else str(default) for name, default in names().items()}


def test_some_are_changed_and_the_others_stay() -> None:
    limits = read_limits(["registrations=1000/min", "device_polls=off", "handshakes=7", "call-patience=0.5"])
    assert limits.rates.registrations == Rate(1000, 60)
    assert limits.rates.device_polls is None
    assert limits.rates.polls == DEFAULT_LIMITS.rates.polls
    assert (limits.arrivals.handshakes, limits.gate.call_patience) == (7, 0.5)


def test_file_and_environment(tmp_path: Path) -> None:
    file = tmp_path / "homeport.toml"
    file.write_text('trusted-proxies = ["10.0.0.0/8"]\nip-filter = false\n[limits]\npolls = "9/s"\nhandshakes = 5\n')
    config = load_config({}, environ={"HOME": "/nowhere"}, file=file)
    assert config.limits.rates.polls == Rate(9, 1)
    assert config.limits.arrivals.handshakes == 5
    assert config.trusted_proxies == ("10.0.0.0/8",)
    assert not config.ip_filter
    config = load_config({}, environ={"HOME": "/nowhere", "HOMEPORT_LIMITS": "polls=8/s,handshakes=6"}, file=file)
    assert (config.limits.rates.polls, config.limits.arrivals.handshakes) == (Rate(8, 1), 6)


@pytest.mark.parametrize(
    "wrong",
    ["polls", "polls=", "polls=9", "colour=1", "handshakes=0", "handshakes=1.5", "handshakes=many", "call-patience=-1",
     "handshakes=nan", "handshakes=inf"],
)  # fmt: skip
def test_what_cannot_be_meant(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"^limits: "):
        load_config({"limits": (wrong,)}, environ={"HOME": "/nowhere"})


def test_a_proxy_that_is_no_network() -> None:
    with pytest.raises(ConfigError, match=r"^trusted_proxies: "):
        load_config({"trusted_proxies": ("proxy.example",)}, environ={"HOME": "/nowhere"})
