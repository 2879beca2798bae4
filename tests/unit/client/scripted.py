"""A service that follows a script: it expects these requests, in this order, and gives these answers.

It runs in a thread behind real TLS, so that both kinds of client meet real sockets.
"""

import json
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request as it must come (None: anything) and its answer; status 0 hangs up instead."""

    method: str
    path: str
    status: int = 200
    body: Any = None
    text: str | None = None
    """Sent as it is, in place of `body`, in small chunks."""
    headers: Mapping[str, str] = field(default_factory=dict)
    expects: Any = None
    """The request's JSON body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    common_name: str | None
    """Of the client's certificate."""

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class ScriptedService:
    """Serves HTTPS on a free port of `localhost`; leaving the context checks that the script was followed."""

    def __init__(self, steps: Sequence[Step], context: ssl.SSLContext) -> None:
        self._steps = list(steps)
        self._context = context
        self._lock = threading.Lock()
        self.requests: list[Received] = []
        self.complaints: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(), bind_and_activate=True)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def authority(self) -> str:
        return f"localhost:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if kind is None:
            assert self.complaints == []
            assert self._steps == [], "the client stopped before the script's end"

    def _next(self, received: Received) -> Step:
        with self._lock:
            self.requests.append(received)
            if not self._steps:
                self.complaints.append(f"one request too many: {received.method} {received.path}")
                return Step(method="", path="", status=418)
            step = self._steps.pop(0)
            if (received.method, received.path) != (step.method, step.path):
                self.complaints.append(f"{received.method} {received.path} instead of {step.method} {step.path}")
            if step.expects is not None and received.document != step.expects:
                self.complaints.append(f"{received.document} instead of {step.expects}")
            return step

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                self.request.settimeout(10)
                try:
                    self.request = service._context.wrap_socket(self.request, server_side=True)
                except OSError:  # a client that does not trust us
                    self.request.close()
                    self.request = socket.socketpair()[0]
                    self.request.settimeout(0)
                super().setup()

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                certificate = self.request.getpeercert() or {}
                names = dict(pair[0] for pair in certificate.get("subject", ()))
                received = Received(
                    method=self.command,
                    path=self.path,
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=self.rfile.read(length),
                    common_name=names.get("commonName"),
                )
                step = service._next(received)
                if step.status == 0:
                    self.close_connection = True
                    return
                if step.text is not None:
                    self.stream(step)
                    return
                body = b"" if step.body is None else json.dumps(step.body).encode()
                self.send_response(step.status)
                for name, value in step.headers.items():
                    if name.lower() != "transfer-encoding":
                        self.send_header(name, value)
                if step.status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def stream(self, step: Step) -> None:
                assert step.text is not None
                self.send_response(step.status)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                data = step.text.encode()
                for start in range(0, len(data), 50):
                    chunk = data[start : start + 50]
                    self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")

            do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = answer  # noqa: N815  # http.server's names

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        return Handler
