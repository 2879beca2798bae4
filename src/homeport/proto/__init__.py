"""Protocol engines without I/O: bytes in, events out, in both roles. No socket, task, clock or random lives here.

Every engine has the same five methods (`receive`, `send`, `outgoing`, `tick`, `close`) and these two errors.
"""


class ProtocolError(Exception):
    """The rules of a protocol were broken; the message says which, and never holds what the peer sent."""


class LocalProtocolError(ProtocolError):
    """We asked an engine to say what it may not say; a fault of the caller, nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; the connection is beyond use."""


__all__ = ["LocalProtocolError", "ProtocolError", "RemoteProtocolError"]
