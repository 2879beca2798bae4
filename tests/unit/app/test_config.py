"""Configuration: who wins, what is refused, and that every problem is reported at once."""

from pathlib import Path

import pytest

from homeport.app.config import ConfigError, default_data_directory, load_config


def test_defaults_need_nothing() -> None:
    config = load_config({}, environ={"HOME": "/nowhere", "XDG_STATE_HOME": "/state"})
    assert config.data == Path("/state/homeport")
    assert (config.https_port, config.mqtt_port, config.amqp_port, config.portal_port) == (443, 8883, 5671, 8080)
    assert config.hostname == ("localhost",)
    assert config.portal_bind == "127.0.0.1"


def test_options_win_over_environment_over_file(tmp_path: Path) -> None:
    file = tmp_path / "homeport.toml"
    file.write_text('https-port = 1001\nmqtt-port = 1002\nhostname = ["file.example"]\n')
    environ = {"HOMEPORT_MQTT_PORT": "2002", "HOMEPORT_HOSTNAME": "one.example,two.example", "HOMEPORT_DATA": "/data"}
    config = load_config({"hostname": ("option.example",), "bind": ()}, environ=environ, file=file)
    assert (config.https_port, config.mqtt_port) == (1001, 2002)
    assert config.hostname == ("option.example",)
    assert config.data == Path("/data")


def test_every_problem_is_named_with_its_key() -> None:
    options = {
        "https_port": "70000",
        "bind": ("not-an-address",),
        "hostname": ("bad name!",),
        "database": "mysql://x",
        "log_level": "loud",
        "drain": "-1",
        "colour": "blue",
    }
    with pytest.raises(ConfigError) as caught:
        load_config(options, environ={"HOME": "/nowhere"})
    lines = str(caught.value).splitlines()
    assert sorted(line.split(":")[0] for line in lines) == sorted(options)


def test_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml"):
        load_config({}, environ={"HOME": "/nowhere"}, file=tmp_path / "missing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("https-port = = 1")
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        load_config({}, environ={"HOME": "/nowhere"}, file=broken)


def test_a_relative_state_home_is_ignored_as_xdg_demands() -> None:
    assert default_data_directory({"XDG_STATE_HOME": "relative"}) == Path.home() / ".local" / "state" / "homeport"


def test_a_bus_is_for_processes_on_one_database() -> None:
    nowhere = {"HOME": "/nowhere"}
    database = "postgresql://db.example/homeport"
    environ = nowhere | {
        "HOMEPORT_DATABASE": database,
        "HOMEPORT_BUS": "nats://u:hidden@a.example,tls://b.example:4223",
    }
    config = load_config({}, environ=environ)
    assert config.bus == ("nats://u:hidden@a.example", "tls://b.example:4223")
    assert "hidden" not in repr(config)
    with pytest.raises(ConfigError, match=r"bus: .*database"):
        load_config({"bus": ("nats://a.example",)}, environ=nowhere)


@pytest.mark.parametrize(
    "bus",
    [
        "http://u:hidden@a.example",
        "nats://u:hidden@",
        "nats://u:hidden@a:port",
        "nats://u:hidden@a/x",
        "u:hidden@a",
        "",
    ],
)
def test_a_bus_that_is_none_is_refused_without_its_password(bus: str) -> None:
    options = {"bus": (bus,), "database": "postgresql://db.example/homeport"}
    with pytest.raises(ConfigError, match=r"bus: an address is nats://host:port") as caught:
        load_config(options, environ={"HOME": "/nowhere"})
    assert "hidden" not in str(caught.value)
