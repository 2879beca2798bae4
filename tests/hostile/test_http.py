"""Requests that are not what they say: sizes, framing, heads, paths, methods, bytes that are no text."""

import contextlib
import json
import socket
import struct

import pytest

from tests.hostile.target import Answer, Target, unique

END = b"\r\n\r\n"
MEGABYTE = 1024 * 1024


def head(target: Target, request_line: str, *fields: str) -> bytes:
    return "\r\n".join([request_line, f"Host: {target.host}", *fields]).encode("latin-1") + END


def register_line(target: Target, registration_id: str = "x") -> str:
    return f"PUT {target.register_path(registration_id)} HTTP/1.1"


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("path", ["/{scope}/registrations/x/register", "/enrollments/x", "/homeport/hubs/x"])
@pytest.mark.parametrize("size", [97 * 1024, 10 * MEGABYTE, 10**15])
def test_a_body_that_says_it_is_too_large(target: Target, path: str, size: int) -> None:
    """Refused by its declared length: nothing of it need come."""
    line = f"PUT {path.format(scope=target.id_scope)}?api-version=2021-06-01 HTTP/1.1"
    answer = target.ask_raw(head(target, line, f"Content-Length: {size}", "Expect: 100-continue"))
    document = target.assert_refused(answer, 413)
    assert "98304" in document["message"]


CHUNKS = (
    b"zz\r\n{}\r\n0\r\n\r\n",
    b"-1\r\n{}",
    b"fffffffffffffffff\r\n{}",
    b"2\r\n{}XX0\r\n\r\n",
    b"2;" + b"e" * 20_000 + b"\r\n{}\r\n0\r\n\r\n",
)


def test_chunks_that_are_none(target: Target) -> None:
    token = target.owner_token()
    for chunks in CHUNKS:
        for line in (register_line(target), "PUT /enrollments/x?api-version=2021-10-01 HTTP/1.1"):
            data = head(target, line, "Transfer-Encoding: chunked", f"Authorization: {token}") + chunks
            answer = target.ask_raw(data)
            if answer is not None:
                assert answer.status in {400, 401}
                target.assert_clear(answer)


def test_a_client_that_leaves_in_the_middle_of_a_body(target: Target) -> None:
    lines = (
        register_line(target),
        "PUT /enrollments/x?api-version=2021-10-01 HTTP/1.1",
        "PUT /homeport/hubs/x HTTP/1.1",
        "PATCH /twins/x?api-version=2021-04-12 HTTP/1.1",
    )
    for line in lines:
        for reset in (False, True):
            connection = target.connect()
            fields = ("Content-Length: 500", f"Authorization: {target.hub_owner_token()}")
            connection.sendall(head(target, line, *fields) + b'{"half":')
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
    # Whatever was logged of it, `unharmed` accepts no fault of the server.
    target.assert_clear(target.ask("GET", "/homeport/health"))


@pytest.mark.parametrize(
    "fields",
    [
        [f"X-Long: {'a' * 100_000}"],
        [f"X-{number}: many" for number in range(2000)],
        [f"{'X' * 20_000}: name"],
        [f"Authorization: SharedAccessSignature {'a' * 7000}"],
        ["Cookie: " + "; ".join(f"c{number}=1" for number in range(500))],
    ],
    ids=["long", "many", "name", "token", "cookies"],
)
def test_huge_heads(target: Target, fields: list[str]) -> None:
    document = target.assert_refused(target.ask_raw(head(target, register_line(target), *fields)), 400, 401)
    assert document["message"] in {"The head of the request is too large", "Unauthorized"}


@pytest.mark.parametrize("query", ["a=1&" * 1500, "x" * 7000, "api-version=" + "2" * 5000, "%" * 3000, "&" * 5000])
def test_absurd_queries(target: Target, query: str) -> None:
    for method, path in (
        ("PUT", f"/{target.id_scope}/registrations/x/register"),
        ("GET", "/enrollments/x"),
        ("GET", "/homeport/why/x"),
    ):
        target.assert_refused(target.ask(method, f"{path}?{query}"), 400, 401)
    for path in ("/devices/x", "/homeport/telemetry"):
        headers = {"Authorization": target.hub_owner_token()}
        target.assert_clear(target.ask("GET", f"{path}?{query}", headers=headers))
    target.assert_refused(target.ask("GET", "/enrollments/x?" + "y" * 50_000), 400, 414)


# ---------------------------------------------------------------- framing


@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Length: 2", "Content-Length: 3"],
        ["Content-Length: 2", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 40"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: \x0bchunked"],
        ["Transfer-Encoding: gzip"],
        ["Content-Length: -1"],
        ["Content-Length: +2"],
        ["Content-Length: 0x2"],
        ["Content-Length: 2, 2"],
        ["Content-Length: " + "9" * 40],
        ["Content-Length : 2"],
        ["Content-Length: 2\x00"],
        [" folded: yes"],
        [": nameless"],
        ["no colon"],
        ["X: a\rY: b"],
        ["Host: other.example"],
    ],
)
def test_smuggling_shapes(target: Target, fields: list[str]) -> None:
    """Ambiguous framing: one refusal and the connection is closed, so that what is hidden inside is never answered."""
    hidden = b"GET /homeport/health HTTP/1.1\r\nHost: hidden\r\n\r\n"
    with target.connect() as connection:
        connection.sendall(head(target, register_line(target), *fields) + b"0\r\n\r\n" + hidden)
        heard = b""
        with contextlib.suppress(OSError):
            connection.settimeout(5)
            while received := connection.recv(65536):
                heard += received
    assert heard.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 ", b"HTTP/1.1 401 ")), heard
    assert b'"status": "ok"' not in heard


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\x03" + END,
        b"GET / HTTP/9.9" + END,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET  / HTTP/1.1" + END,
        b"GET / a b HTTP/1.1" + END,
        b"\r\n\r\n\r\n\r\nnonsense" + END,
        b"GET /\xff\xfe HTTP/1.1\r\nHost: h" + END,
        b"GET http://[::1/enrollments/x HTTP/1.1\r\nHost: h" + END,
        b"{}" * 20_000,
        b"SSH-2.0-OpenSSH_9.2\r\n" + END,
    ],
)
def test_what_is_no_request(target: Target, data: bytes) -> None:
    target.assert_refused(target.ask_raw(data), 400)


def test_pipelined_requests_are_answered_in_order(target: Target) -> None:
    request = head(target, "GET /enrollments/x HTTP/1.1")
    with target.connect() as connection:
        connection.sendall(request * 50)
        heard = b""
        while heard.count(b"HTTP/1.1 401 ") < 50:
            received = connection.recv(65536)
            assert received
            heard += received


# ---------------------------------------------------------------- what is asked for


IDS = [
    "a" * 129,
    "a" * 4000,
    "a.",
    "a_",
    "a b",
    "a%20b",
    "%00",
    "%ff%fe",
    "a%0d%0aX-Injected:%20yes",
    "%C3%A9",
    "%E2%80%AE",
    "a%2f..%2f..%2fetc",
    "..",
    "%2e%2e",
    "~",
    "<script>alert(1)<",
    "'%20OR%201=1--",
    "${jndi:ldap:x}",
    "%25%25",
    "a%",
]


@pytest.mark.parametrize("name", IDS)
def test_ids_that_are_none(target: Target, name: str) -> None:
    for method, path in (
        ("PUT", target.register_path(name)),
        ("GET", f"/{target.id_scope}/registrations/{name}/operations/1?api-version=2021-06-01"),
        ("GET", f"/{target.id_scope}/registrations/{unique('x')}/operations/{name}?api-version=2021-06-01"),
        ("POST", f"/{target.id_scope}/registrations/{name}?api-version=2021-06-01"),
    ):
        answer = target.ask(method, path, b"{}")
        target.assert_refused(answer, 400, 401, 404, 405)
        assert "x-injected" not in answer.headers


@pytest.mark.parametrize("name", IDS)
def test_ids_that_are_none_for_administrators(target: Target, name: str) -> None:
    """With a token that holds: even an owner gets no more than a refusal."""
    owner = {"Authorization": target.owner_token()}
    document = json.dumps({"registrationId": "x", "attestation": {"type": "symmetricKey"}}).encode()
    for method, path in (
        ("GET", f"/enrollments/{name}"),
        ("PUT", f"/enrollments/{name}"),
        ("DELETE", f"/enrollmentGroups/{name}"),
        ("POST", f"/enrollments/{name}/attestationmechanism"),
        ("GET", f"/registrations/{name}"),
        ("DELETE", f"/homeport/hubs/{name}"),
        ("GET", f"/homeport/attempts/{name}"),
        ("PUT", f"/homeport/hubs/{name}"),
    ):
        answer = target.ask(method, f"{path}?api-version=2021-10-01", document, owner)
        target.assert_refused(answer, 400, 404, 405)
        assert "x-injected" not in answer.headers
    target.assert_clear(target.ask("GET", f"/homeport/why/{name}", headers=owner))


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc//passwd",
        "/homeport/../enrollments/x",
        "/homeport/%2e%2e/hubs",
        "/static/..%5c..%5cserver.key",
        "/.git/config",
        "/homeport.db",
        "/enrollments/../../homeport.db",
        "/enrollments/..%2f..%2fhomeport.db",
        "/$iothub/websocket",
        "/",
        "*",
        "/\\",
        "/;/",
    ],
)
def test_paths_that_lead_nowhere(target: Target, path: str) -> None:
    owner = {"Authorization": target.owner_token()}
    answer = target.ask("GET", path, headers=owner)
    target.assert_refused(answer, 400, 404)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_wrong_methods(target: Target, method: str) -> None:
    def refused(answer: Answer | None, *statuses: int) -> None:
        assert answer is not None
        if method == "HEAD":
            assert answer.status in statuses
        else:
            target.assert_refused(answer, *statuses)

    refused(target.ask_raw(head(target, f"{method} {target.register_path('x')} HTTP/1.1")), 400, 405)
    answer = target.ask_raw(head(target, f"{method} /enrollments/x HTTP/1.1", f"Authorization: {target.owner_token()}"))
    refused(answer, 400, 405)


def test_bytes_that_are_no_text_in_every_header(target: Target) -> None:
    registration_id, key = target.enroll("bytes")
    token = target.device_token(registration_id, key).encode()
    line = f"PUT {target.register_path(registration_id)} HTTP/1.1\r\n".encode()
    strange = b"\xff\xfe\xc3(\xed\xa0\x80"
    for name in (b"User-Agent", b"UserAgent", b"Host", b"Accept", b"Content-Type", b"X-\xe9", b"If-Match"):
        fields = [b"Authorization: " + token, name + b": " + strange, b"Content-Length: 2"]
        if name != b"Host":
            fields.append(b"Host: h")
        answer = target.ask_raw(line + b"\r\n".join(fields) + END + b"{}")
        assert answer is not None
        target.assert_clear(answer)
        assert answer.status in {202, 400}, (name, answer)
    # None of the calls lost its record for the bytes in it.
    attempts = target.why(registration_id)
    assert [attempt.outcome for attempt in attempts] == ["assigned"] * len(attempts)
    assert any(attempt.client_version and "?" in attempt.client_version for attempt in attempts)


def test_bytes_that_are_no_text_for_administrators(target: Target) -> None:
    owner = b"Authorization: " + target.owner_token().encode()
    for name in (b"If-Match", b"x-ms-continuation", b"x-ms-max-item-count", b"User-Agent"):
        for line in (b"DELETE /enrollments/x", b"POST /enrollments/query", b"GET /homeport/attempts"):
            request = line + b"?api-version=2021-10-01 HTTP/1.1\r\nHost: h\r\n" + owner + b"\r\n"
            answer = target.ask_raw(request + name + b": \xff\xfe\r\nContent-Length: 2" + END + b"{}")
            assert answer is not None
            target.assert_clear(answer)


@pytest.mark.parametrize("value", ["0", "-1", "1e3", "9" * 5000, "0" * 5000 + "1", "²", "١", "000001" + "9" * 4500])
def test_page_sizes_that_are_none(target: Target, value: str) -> None:
    headers = {"Authorization": target.owner_token()}
    paths = ("/enrollments/query?api-version=2021-10-01", "/enrollmentGroups/query?api-version=2021-10-01")
    for path in paths:
        data = head(target, f"POST {path} HTTP/1.1", f"Authorization: {headers['Authorization']}", "Content-Length: 2")
        answer = target.ask_raw(data[:-2] + f"x-ms-max-item-count: {value}\r\n\r\n".encode() + b"{}")
        assert answer is not None
        target.assert_clear(answer)
    limit = target.ask("GET", "/homeport/why/x?limit=" + value.encode().hex(), headers=headers)
    target.assert_clear(limit)


def test_unknown_names_of_the_server(target: Target) -> None:
    for host in ("", "evil.example", "[", "[::1", ":", "a" * 5000, "127.0.66.1:99999999", "..", "127.0.66.1\t"):
        answer = target.ask_raw(f"GET /enrollments/x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        target.assert_refused(answer, 400, 401, 404)


def test_forged_continuations(target: Target) -> None:
    owner = {"Authorization": target.owner_token()}
    for token in ("x", "====", "A" * 2000, "AAAAAAAAAAAAAAAAAAAA", "-" * 40, unique("token")):
        for path in ("/enrollments/query", "/enrollmentGroups/query", "/registrations/x/query"):
            answer = target.ask("POST", f"{path}?api-version=2021-10-01", b"{}", owner | {"x-ms-continuation": token})
            target.assert_refused(answer, 400)
        for path in ("/homeport/attempts", "/homeport/registrations"):
            target.assert_refused(target.ask("GET", path, b"", owner | {"x-ms-continuation": token}), 400)
