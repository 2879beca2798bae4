"""Devices in processes of their own that tell what happens to them: Microsoft's Node SDK, AMQP libraries."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PATIENCE_SECONDS = 30.0


class Process:
    """What a device says."""

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
async def running(command: Sequence[str], environment: Mapping[str, str], wanted: Any) -> AsyncIterator[Process]:
    """Run a device until the block ends; it reads `wanted` as a line of JSON."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=HERE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(wanted).encode() + b"\n")
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def at_home(ca_file: str, *, script: str = "home.cjs", **wanted: Any) -> AsyncIterator[Process]:
    """Run a Node SDK; `wanted` is what home.cjs, or another script of its kind, reads."""
    environment = os.environ | {"NODE_EXTRA_CA_CERTS": ca_file, "NODE_NO_WARNINGS": "1"}
    async with running(["node", f"node/{script}"], environment, wanted) as device:
        yield device
