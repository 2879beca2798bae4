"""A custom allocation webhook that answers at once, so that what is measured is the asking."""

import asyncio
import json
import signal
import sys
from typing import cast

import uvloop


class Hook(asyncio.Protocol):
    """Answers every request with the first hub it is offered; connections are kept."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (request := self._request()) is not None:
            answer = json.dumps({"iotHubHostName": json.loads(request)["linkedHubs"][0]}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
            self._transport.write(head.encode() + answer)

    def _request(self) -> bytes | None:
        """Take the body of a request that is complete."""
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return None
        length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return None
        self._received = rest[length:]
        return rest[:length]


async def serve(address: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(Hook, address, 0)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
