"""`homeport serve` that loses power at one chosen point of a registration or first start: run by the crash test.

Usage: dying_server.py STEP MOMENT serve …: the process kills itself with SIGKILL just `before` or `after` the step.
`save:2` is the second time a process saves.
"""

import functools
import inspect
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, NoReturn

from homeport.app.hub_links import LocalHubLink
from homeport.cli.main import main
from homeport.custody import MasterKeys
from homeport.store.authorities import SqlAuthorityStore
from homeport.store.hubs import SqlHubStore
from homeport.store.issued_certificates import SqlIssuedCertificateStore
from homeport.store.linked_hubs import SqlLinkedHubStore
from homeport.store.registrations import SqlRegistrationStore
from homeport.store.settings import SettingsStore

STEPS: dict[str, tuple[type, str]] = {
    "conclude": (SqlRegistrationStore, "conclude"),
    "open": (SqlRegistrationStore, "open"),
    "read": (LocalHubLink, "read"),
    "provision": (LocalHubLink, "provision"),
    "remove": (LocalHubLink, "remove"),
    "save": (SqlRegistrationStore, "save"),
    "identity": (SettingsStore, "put_if_absent"),
    "make hub": (SqlHubStore, "create"),
    "link": (SqlLinkedHubStore, "put"),
    "revoke": (SqlIssuedCertificateStore, "revoke"),
    "withdraw": (LocalHubLink, "withdraw"),
    "reseal": (SqlAuthorityStore, "reseal"),
    "forget": (MasterKeys, "forget_old"),
}


def program(step: str, moment: str) -> tuple[str, ...]:
    """Return the command that takes the place of `homeport`."""
    return (sys.executable, __file__, step, moment)


def power_cut() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def dying(call: Callable[..., Awaitable[Any]], moment: str, turn: int) -> Callable[..., Awaitable[Any]]:
    turns = count(1)

    @functools.wraps(call)
    async def last_call(*arguments: Any, **options: Any) -> Any:
        here = next(turns) == turn
        if here and moment == "before":
            power_cut()
        result = await call(*arguments, **options)
        if here:
            power_cut()
        return result

    return last_call


def dying_at_once(call: Callable[..., Any], moment: str, turn: int) -> Callable[..., Any]:
    """Like `dying`, for a step that does not wait."""
    turns = count(1)

    @functools.wraps(call)
    def last_call(*arguments: Any, **options: Any) -> Any:
        here = next(turns) == turn
        if here and moment == "before":
            power_cut()
        result = call(*arguments, **options)
        if here:
            power_cut()
        return result

    return last_call


if __name__ == "__main__":
    step, moment, *sys.argv[1:] = sys.argv[1:]
    step, _, turn = step.partition(":")
    owner, name = STEPS[step]
    call = getattr(owner, name)
    wrap = dying if inspect.iscoroutinefunction(call) else dying_at_once
    setattr(owner, name, wrap(call, moment, int(turn or 1)))
    main()
