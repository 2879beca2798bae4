"""Values between the processes of one Homeport, as JSON of their fields.

An older process passes over fields and kinds it does not know; a newer one gives new fields a default.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from msgspec import MsgspecError
from msgspec.json import Decoder, Encoder

from homeport.wire import WireError

E = TypeVar("E")


class EventCodec(Generic[E]):
    """Writes and reads values of these kinds; a kind goes by its name."""

    def __init__(self, kinds: Sequence[type[E]]) -> None:
        self._encoder = Encoder()
        self._decoders = {kind.__name__: Decoder(kind) for kind in kinds}

    def encode(self, event: E) -> bytes:
        return self._encoder.encode(event)

    def decode(self, kind: str, data: bytes) -> E | None:
        """Return the event, None for a kind that is not known. Raises WireError."""
        decoder = self._decoders.get(kind)
        if decoder is None:
            return None
        try:
            return decoder.decode(data)
        except MsgspecError as error:
            raise WireError(f"the event {kind} cannot be read: {error}") from None
