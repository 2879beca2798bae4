"""Where a server listens and by which names it is reached, out of its configuration."""

import ipaddress
import socket
from typing import Self

from msgspec import Struct

from homeport.app.config import Config

LOOPBACK = ("localhost", "127.0.0.1", "::1")
FIRST_HUB_HOST = "127.0.0.1"


class Addresses(Struct, frozen=True, kw_only=True):
    """Names and addresses of one server process."""

    bind: tuple[str, ...]
    """What to listen on."""
    host_names: tuple[str, ...]
    """Names of the provisioning service; clients are told the first one."""
    admin_host: str
    """The name by which programs on this machine reach it."""
    first_hub_host: str

    @classmethod
    def of(cls, config: Config) -> Self:
        """Work them out; without `bind`, all addresses of the machine, IPv6 only where it has it."""
        wildcard = ("0.0.0.0", "::") if _has_ipv6() else ("0.0.0.0",)  # noqa: S104 - devices come from other machines
        bind = config.bind or wildcard
        parsed = [ipaddress.ip_address(address) for address in bind]
        specific = tuple(str(address) for address in parsed if not address.is_unspecified)
        everywhere = len(specific) < len(parsed)
        reachable = everywhere or "127.0.0.1" in specific
        names = (*config.hostname, *specific, *(LOOPBACK if reachable else ()))
        return cls(
            bind=bind,
            host_names=tuple(dict.fromkeys(names)),
            admin_host="127.0.0.1" if reachable else specific[0],
            # Several SDKs refuse hub names without a dot (contract hub.md 1.4).
            first_hub_host=next((name for name in config.hostname if "." in name), FIRST_HUB_HOST),
        )


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
