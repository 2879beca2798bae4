"""`homeport serve` that loses power at one chosen point of a registration: run as a program by the crash test.

Usage: dying_server.py POINT MOMENT serve …: the process kills itself with SIGKILL just before or after the step.
"""

import functools
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from homeport.store.registrations import SqlRegistrationStore

from homeport.app.hub_links import LocalHubLink
from homeport.cli.main import main

POINTS: dict[str, tuple[type, str]] = {
    "open": (SqlRegistrationStore, "open"),
    "read": (LocalHubLink, "read"),
    "provision": (LocalHubLink, "provision"),
    "remove": (LocalHubLink, "remove"),
    "save": (SqlRegistrationStore, "save"),
}


def power_cut() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(step: Callable[..., Awaitable[Any]], moment: str) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(step)
    async def last_step(*arguments: Any, **options: Any) -> Any:
        if moment == "before":
            power_cut()
        result = await step(*arguments, **options)
        power_cut()
        return result

    return last_step


if __name__ == "__main__":
    point, moment, *sys.argv[1:] = sys.argv[1:]
    owner, name = POINTS[point]
    setattr(owner, name, dying(getattr(owner, name), moment))
    main()
