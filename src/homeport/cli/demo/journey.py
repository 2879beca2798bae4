"""What a device of the demo goes through, and when: from power-on to its messages at the hub."""

import time
from dataclasses import dataclass, field
from enum import StrEnum

MESSAGES = 3


class Attestation(StrEnum):
    TPM = "TPM 2.0"
    X509 = "X.509"
    X509_GROUP = "X.509 group"
    KEY_GROUP = "key group"


class Stage(StrEnum):
    WAITING = "waiting"
    REGISTERING = "registering"
    CONNECTING = "connecting"
    SENDING = "sending"
    HOME = "home"
    LOST = "lost"


@dataclass(slots=True, kw_only=True)
class Journey:
    """One device's way home. Times in seconds on the monotonic clock."""

    device: str
    attestation: Attestation
    stage: Stage = Stage.WAITING
    hub: str = ""
    received: int = 0
    error: str = ""
    powered_on: float = field(default=0.0, repr=False)
    connected_after: float | None = None

    def power_on(self) -> None:
        self.powered_on = time.monotonic()
        self.stage = Stage.REGISTERING

    def registered(self, hub: str) -> None:
        self.hub = hub
        self.stage = Stage.CONNECTING

    def connected(self) -> None:
        self.connected_after = time.monotonic() - self.powered_on
        self.stage = Stage.SENDING

    def arrived(self) -> None:
        self.stage = Stage.HOME

    def failed(self, error: BaseException) -> None:
        self.stage = Stage.LOST
        self.error = str(error) or type(error).__name__

    @property
    def held(self) -> bool:
        """Whether every step held: registered, connected, and all its messages at the hub."""
        return self.stage is Stage.HOME and self.received >= MESSAGES
