"""A device with Microsoft's Node SDK in a process of its own, as home.cjs tells what happens to it."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

NODE = Path(__file__).parent / "node"
PATIENCE_SECONDS = 30.0


class NodeDevice:
    """What the process says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await self._process.stdout.readline()
        assert line, "the device has ended"
        told: dict[str, Any] = json.loads(line)
        return told

    async def expect(self, event: str) -> dict[str, Any]:
        """Pass over what happens beside it, until this event; a failure is one."""
        seen = []
        while (told := await self.next())["event"] != event:
            assert told["event"] != "failed", told
            seen.append(told)
            assert len(seen) < 100, seen
        return told

    def tell(self, **wanted: Any) -> None:
        """Write a line of JSON to the process."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")

    async def leave(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self.expect("closed")


@asynccontextmanager
async def at_home(ca_file: str, *, script: str = "home.cjs", **wanted: Any) -> AsyncIterator[NodeDevice]:
    """Run a device until the block ends; `wanted` is what home.cjs, or another script of its kind, reads."""
    process = await asyncio.create_subprocess_exec(
        "node",
        script,
        cwd=NODE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"NODE_EXTRA_CA_CERTS": ca_file, "NODE_NO_WARNINGS": "1"},
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(wanted).encode() + b"\n")
        yield NodeDevice(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
