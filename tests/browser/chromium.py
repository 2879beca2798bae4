"""A browser for tests: chromium, headless, told what to do over its own DevTools protocol."""

import asyncio
import base64
import itertools
import json
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

BINARY = shutil.which("chromium")
_START_SECONDS = 30.0
_WAIT_SECONDS = 15.0
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


class BrowserError(Exception):
    """The page did not do what was asked in time, or a script failed."""


class Tab:
    """One page. Everything that its console complains about is kept in `complaints`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []

    async def listen(self) -> None:
        """Take messages until the socket closes."""
        async for message in self._socket:
            document = json.loads(message.data)
            if (answer := self._answers.pop(document.get("id", 0), None)) is not None:
                answer.set_result(document)
            elif document.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(document["params"]["exceptionDetails"]["text"])
            elif document.get("method") == "Log.entryAdded" and document["params"]["entry"]["level"] == "error":
                self.complaints.append(document["params"]["entry"]["text"])

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(_WAIT_SECONDS):
            document = await answer
        if "error" in document:
            raise BrowserError(f"{method}: {document['error']['message']}")
        result: dict[str, Any] = document["result"]
        return result

    async def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        answer = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script}: {answer['exceptionDetails'].get('exception', {}).get('description')}")
        return answer["result"].get("value")

    async def until(self, script: str) -> Any:
        """Wait until an expression is true in the page, and return its value."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                while True:
                    try:
                        if value := await self.run(script):
                            return value
                    except BrowserError as error:
                        if "context" not in str(error).lower() and "null" not in str(error).lower():
                            raise
                    await asyncio.sleep(0.05)
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise BrowserError(f"never became true: {script}\non the page:\n{text}") from None

    async def go(self, address: str) -> None:
        """Open an address and wait until it is loaded."""
        await self.run("window.left = false")
        await self.send("Page.navigate", url=address)
        await self.until("window.left === undefined && document.readyState === 'complete'")

    async def click(self, selector: str) -> None:
        """Click the first element that is found, as a script would."""
        await self.until(f"!!document.querySelector({json.dumps(selector)})")
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")

    async def submit(self, selector: str) -> None:
        """Click something that leads to another page, and wait for it."""
        await self.run("window.left = false")
        await self.click(selector)
        await self.until("window.left === undefined && document.readyState === 'complete'")

    async def fill(self, selector: str, text: str) -> None:
        """Type into a field."""
        await self.until(f"!!document.querySelector({json.dumps(selector)})")
        await self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.run(f"document.querySelector({json.dumps(selector)}).select()")
        await self.send("Input.insertText", text=text)

    async def text(self, selector: str = "body") -> str:
        """Return what one can read there."""
        return str(await self.until(f"document.querySelector({json.dumps(selector)})?.innerText"))

    async def look(self, *, width: int = 1280, height: int = 820, dark: bool = False, scale: float = 1) -> None:
        """Set the size of the window and the colour scheme."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[feature])

    async def picture(self, file: Path, *, whole: bool = False) -> None:
        """Write a PNG of the window, or of the whole page."""
        answer = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        await asyncio.to_thread(file.write_bytes, base64.b64decode(answer["data"]))


@asynccontextmanager
async def browser(profile: Path, *flags: str) -> AsyncIterator[Callable[[], Any]]:
    """Run chromium with a fresh profile; yields a function that opens a tab (an async context manager)."""
    assert BINARY is not None, "chromium is not installed"
    process = await asyncio.create_subprocess_exec(
        BINARY,
        *_FLAGS,
        *flags,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await _port(profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as http:
            yield lambda: _tab(http, port)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _port(file: Path, process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            if process.returncode is not None:
                raise BrowserError(f"chromium ended with status {process.returncode}")
            if number := _first_line(file):
                return int(number)
            await asyncio.sleep(0.05)


def _first_line(file: Path) -> str:
    try:
        return file.read_text().partition("\n")[0]
    except FileNotFoundError:
        return ""


@asynccontextmanager
async def _tab(http: aiohttp.ClientSession, port: int) -> AsyncIterator[Tab]:
    async with http.put(f"http://127.0.0.1:{port}/json/new?about:blank") as answer:
        address = (await answer.json())["webSocketDebuggerUrl"]
    async with http.ws_connect(address, max_msg_size=64 * 1024 * 1024) as socket, asyncio.TaskGroup() as tasks:
        tab = Tab(socket)
        listening = tasks.create_task(tab.listen())
        for domain in ("Page", "Runtime", "Log"):
            await tab.send(f"{domain}.enable")
        try:
            yield tab
        finally:
            await socket.close()
            listening.cancel()
