"""Whose sessions are ended before the CLOSE of their connection, and with which error. Pure.

AMQP lets a server say CLOSE alone, and that is best for most: Qpid Proton and rhea come back by themselves from
`amqp:connection:forced`, with all their links, but not from the end of a session. Microsoft's Node clients are built on
rhea and differ: after CLOSE they wait 45 seconds for answers to the DETACH of each link and to END, which cannot come.
To the end of their session they react at once.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from homeport.proto.amqp import Attached, Condition, End, Error, Session

__all__ = ["last_ends"]

_CLIENT_VERSION: Final = "com.microsoft:client-version"
_NODE_CLIENT: Final = re.compile(r"azure-iot(?:-device|-provisioning-device|hub)/")
"""How the version texts of Microsoft's Node clients begin; those of its other clients do not."""


def last_ends(sessions: Iterable[tuple[Session, Sequence[Attached]]], error: Error | None) -> list[End]:
    """Return the ends to be said before a CLOSE with this error; each session comes with its links as attached.

    A session without links may be a Node client's, too: it is ended without an error, which nobody minds.
    """
    ends = []
    for session, links in sessions:
        if not links:
            ends.append(End(session=session))
        elif any(_is_of_node(each) for each in links):
            ends.append(End(session=session, error=_for_session(error)))
    return ends


def _is_of_node(attached: Attached) -> bool:
    version = (attached.properties or {}).get(_CLIENT_VERSION)
    return isinstance(version, str) and _NODE_CLIENT.match(version) is not None


def _for_session(error: Error | None) -> Error | None:
    """Return the error of END: that of CLOSE, but on a forced close Node would give up instead of coming back."""
    if error is None or error.condition != Condition.CONNECTION_FORCED:
        return error
    return Error(condition=Condition.DETACH_FORCED, description=error.description, info=error.info)
