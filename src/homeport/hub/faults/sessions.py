"""A hub's open connections as the fault lab sees them."""

from collections.abc import Sequence

from homeport.hub.sessions import Sessions


class HubConnections:
    """The connections of one hub (Connections)."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def connected(self) -> Sequence[str]:
        return [session.device_id for session in self._sessions]

    def cut(self, identity: str, *, orderly: bool) -> str | None:
        session = self._sessions.current(identity)
        if session is None or session.ended is not None:
            return None
        if session.cut is None:
            session.end()
        else:
            session.cut(orderly)
        return session.transport
