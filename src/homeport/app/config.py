"""Configuration: `homeport.toml`, `HOMEPORT_…` variables and command-line options, read once into frozen values.

No other module reads files or environment for settings. What an administrator changes at run time (enrollments,
hubs, policies) is data in the store and never stands here.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from homeport.app.limits import DEFAULT_LIMITS, Limits, read_limits
from homeport.values import hiding

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_LISTS = {"bus", "bind", "hostname", "limits", "trusted_proxies", "allocation_module"}
_PORTS = {"https_port", "mqtt_port", "amqp_port", "portal_port"}


class ConfigError(Exception):
    """Everything that is wrong with the configuration, one problem per line, each with its key."""


@hiding("bus", "master_key", "pkcs11_pin")
class Config(Struct, frozen=True, kw_only=True):
    """What one server process is told when it starts. Times in seconds, ports 1 to 65535 (0: any free one)."""

    data: Path
    """Directory for the database, certificates and connection information; created with mode 0700."""
    database: str | None = None
    """`postgresql://…`, or None for SQLite in `data`."""
    bus: tuple[str, ...] = ()
    """`nats://…` or `tls://…`, the servers of a NATS through which several processes on one database work together."""
    bus_ca_file: Path | None = None
    """PEM of authorities trusted for the bus, instead of the system's."""
    bind: tuple[str, ...] = ()
    """Addresses to listen on; empty means all of them."""
    hostname: tuple[str, ...] = ("localhost",)
    """Names of the provisioning service; the first is the one clients are told."""
    https_port: int = 443
    mqtt_port: int = 8883
    amqp_port: int = 5671
    portal_port: int = 8080
    portal_bind: str = "127.0.0.1"
    register_budget: float = 2.0
    """How long a register call waits for the hub before it answers `assigning`."""
    operation_deadline: float = 600.0
    """When an operation that no hub has answered is `failed`."""
    allocation_module: tuple[str, ...] = ()
    """Functions for custom allocation, `package.module:function`; enrollments name them as `python:…`."""
    webhook_ca_file: Path | None = None
    """PEM of authorities trusted for webhooks, besides the system's."""
    hub_check_interval: float = 60.0
    """How often the linked hubs are looked at, in seconds."""
    drain: float = 5.0
    """How long connections may finish what they do when the server stops."""
    max_ca_certificates: int = 250
    """How many CA certificates may be uploaded; Azure takes 25."""
    audit_retention_days: int = 400
    """How long the audit keeps its entries; 0: for ever."""
    log_level: str = "info"
    master_key_file: str | None = None
    """File with the key that the private keys of issuing authorities are sealed under; None: one made in `data`."""
    master_key: str | None = None
    """The key itself, Base64 of 32 bytes, for those who keep secrets in the environment."""
    pkcs11_module: str | None = None
    """Library of a PKCS#11 token, for issuing authorities whose key is there."""
    pkcs11_pin_file: str | None = None
    pkcs11_pin: str | None = None
    ip_filter: bool = True
    """False lets everybody in, whatever the rules say: the way back for who is locked out."""
    fault_lab: bool = False
    """True opens the fault lab: administrators may inject faults, and hubs may let their devices do so."""
    limits: Limits = DEFAULT_LIMITS
    """How much is taken from whom before calls are refused; in the file a table, elsewhere a list of `name=value`."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of load balancers, whose connections begin with a PROXY protocol header."""


def default_data_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the data directory used without `--data`: `homeport` under XDG's state directory."""
    state = environ.get("XDG_STATE_HOME")
    base = Path(state) if state and Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "homeport"


def load_config(
    options: Mapping[str, Any], *, environ: Mapping[str, str] = os.environ, file: Path | None = None
) -> Config:
    """Merge defaults, the file, the environment and the options (the later wins), and check the result.

    Options that are None or empty are not given. Raises ConfigError with every problem at once.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    path = file or (Path(environ["HOMEPORT_CONFIG"]) if environ.get("HOMEPORT_CONFIG") else None)
    if path is not None:
        values |= _from_file(path, problems)
    values |= _from_environment(environ)
    values |= {key: value for key, value in options.items() if value not in (None, (), [])}
    known = {*Config.__struct_fields__}
    problems += [f"{key}: unknown setting" for key in sorted(values.keys() - known)]
    problems += [
        f"{one}: {other} is given, too"
        for one, other in (("master_key", "master_key_file"), ("pkcs11_pin", "pkcs11_pin_file"))
        if values.get(one) and values.get(other)
    ]
    if values.get("bus") and not values.get("database"):
        problems.append("bus: several processes share a PostgreSQL database; give database, too")
    checked = {key: _check(key, values[key], problems) for key in values.keys() & known}
    if problems:
        raise ConfigError("\n".join(problems))
    data = Path(checked.pop("data", None) or default_data_directory(environ)).expanduser().absolute()
    return Config(data=data, **checked)


def _from_file(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return {key.replace("-", "_"): value for key, value in tomllib.loads(path.read_text()).items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"{path}: {error}")
        return {}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in Config.__struct_fields__:
        text = environ.get(f"HOMEPORT_{name.upper()}")
        if text:
            values[name] = text.split(",") if name in _LISTS else text
    return values


def _check(key: str, value: Any, problems: list[str]) -> Any:
    try:
        if key in _PORTS:
            return _port(value)
        if key in {"register_budget", "operation_deadline", "drain", "hub_check_interval"}:
            return _seconds(value)
        if key == "max_ca_certificates":
            return _count(value)
        if key == "audit_retention_days":
            return _days(value)
        if key == "bind":
            return tuple(str(ipaddress.ip_address(address)) for address in _list(value))
        if key == "hostname":
            return tuple(_host_name(name) for name in _list(value))
        if key in {"ip_filter", "fault_lab"}:
            return _one_of(str(value).lower(), ("true", "false", "on", "off")) in {"true", "on"}
        if key == "limits":
            return read_limits(value)
        if key == "trusted_proxies":
            return tuple(str(ipaddress.ip_network(network)) for network in _list(value))
        if key == "log_level":
            return _one_of(str(value).lower(), ("debug", "info", "warning", "error"))
        if key == "allocation_module":
            return tuple(_function(name) for name in _list(value))
        if key == "bus":
            return tuple(_bus_server(server) for server in _list(value))
        if key in {"webhook_ca_file", "bus_ca_file"}:
            return Path(str(value)).expanduser().absolute()
        if key == "database":
            return _database(str(value))
    except (TypeError, ValueError) as error:
        problems.append(f"{key}: {error}")
        return None
    return value


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value]


def _port(value: Any) -> int:
    port = int(value)
    if not 0 <= port <= 65535:
        raise ValueError(f"{port} is not a port")
    return port


def _count(value: Any) -> int:
    count = int(value)
    if not 1 <= count <= 10_000:
        raise ValueError(f"{value} is not between 1 and 10000")
    return count


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds <= 86400:
        raise ValueError(f"{value} is not between 0 and 86400 seconds")
    return seconds


def _days(value: Any) -> int:
    days = int(value)
    if not 0 <= days <= 36500:
        raise ValueError(f"{value} is not between 0 and 36500 days")
    return days


def _host_name(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        if len(name) > 253 or not _HOST_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is neither a host name nor an address") from None
        return name.rstrip(".")


def _function(name: str) -> str:
    if not _FUNCTION.fullmatch(name):
        raise ValueError(f"{name!r} is not of the form package.module:function")
    return name


def _one_of(value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return value


def _bus_server(url: str) -> str:
    """Check an address; it may hold a password, so no problem repeats it."""
    parts = urlsplit(url)
    try:
        sound = parts.scheme in {"nats", "tls"} and bool(parts.hostname) and (parts.port or 4222) > 0
    except ValueError:
        sound = False
    if not sound or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            "an address is nats://host:port or tls://host:port, with user:password@ before the host or not"
        )
    return url


def _database(url: str) -> str:
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("only postgresql:// addresses are known; leave it out for SQLite in the data directory")
    return url
