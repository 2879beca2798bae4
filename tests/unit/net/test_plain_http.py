"""What is plain HTTP, and that nothing else is taken for it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homeport.net.plain_http import PlainAnswer, read_request, spell_answer

HEAD = b"PUT /0ne1/registrations/d%201/register?api-version=2021-06-01 HTTP/1.1\r\nHost: hub.example\r\n"
DATE = "Thu, 01 Jan 1970 00:00:00 GMT"


def test_a_devices_request_is_read_as_it_was_sent() -> None:
    request = read_request(HEAD + b"Authorization:  SharedAccessSignature x \r\nContent-Length: 2\r\n\r\n{}")
    assert request is not None
    assert (request.method, request.body, request.closes) == ("PUT", b"{}", False)
    assert request.target == "/0ne1/registrations/d%201/register?api-version=2021-06-01"
    assert request.fields == {
        "host": "hub.example",
        "authorization": "SharedAccessSignature x",
        "content-length": "2",
    }


@pytest.mark.parametrize(("said", "closes"), [(b"keep-alive", False), (b"Close", True)])
def test_the_client_says_whether_it_stays(said: bytes, closes: bool) -> None:
    request = read_request(HEAD + b"Connection: " + said + b"\r\n\r\n")
    assert request is not None
    assert request.closes is closes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD,
        HEAD + b"Content-Length: 3\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\n\r\n{}P",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: +2\r\n\r\n{}",
        HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
        HEAD + "Content-Length: ²\r\n\r\n{}".encode("latin-1"),
        HEAD + b"Content-Length: \r\n\r\n",
        HEAD + b"Content-Length: 0000000002\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        HEAD + b"transfer-encoding : chunked\r\n\r\n",
        HEAD + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Connection: close, te\r\n\r\n",
        HEAD + b"Host: other\r\n\r\n",
        HEAD + b" folded\r\n\r\n",
        HEAD + b"X: a\0b\r\n\r\n",
        HEAD + b"X: a\nY: b\r\n\r\n",
        HEAD + b"X: \xff\r\n\r\n",
        HEAD + b"X y: z\r\n\r\n",
        HEAD + b": z\r\n\r\n",
        HEAD + b"X: " + b"y" * 8190 + b"\r\n\r\n",
        HEAD + b"".join(b"X%d: y\r\n" % number for number in range(100)) + b"\r\n",
        HEAD.replace(b"PUT", b"DELETE") + b"\r\n",
        HEAD.replace(b"1.1", b"1.0") + b"\r\n",
        HEAD.replace(b"/0ne1", b"https://hub.example/0ne1") + b"\r\n",
        HEAD.replace(b"?", b"#") + b"\r\n",
        HEAD.replace(b"%20", b" ") + b"\r\n",
        HEAD.replace(b"\r\n", b"\n") + b"\n",
        HEAD.split(b"\r\n")[0] + b"\r\n\r\n",
        b"\r\n" + HEAD + b"\r\n",
    ],
)
def test_everything_else_is_left_to_the_full_parser(data: bytes) -> None:
    assert read_request(data) is None


@given(
    st.lists(
        st.sampled_from(
            [b"PUT ", b"/a", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b"Host: a", b"Content-Length: 1", b":", b" ", b"\0x"]
        ),
        max_size=14,
    ).map(b"".join)
)
@example(b"PUT /a HTTP/1.1\r\nHost: a\r\n\r\n")
def test_what_is_taken_can_be_said_in_one_way_only(data: bytes) -> None:
    """A request that is read is, field by field, the bytes that came: nobody can smuggle a second one."""
    request = read_request(data)
    if request is None:
        return
    head, separator, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert separator
    assert first == f"{request.method} {request.target} HTTP/1.1"
    assert {line.partition(":")[0].lower() for line in lines} == set(request.fields)
    assert len(lines) == len(request.fields)
    assert request.body == body
    assert len(body) == int(request.fields.get("content-length", "0"))


def test_an_answer_is_spelled_with_what_http_wants() -> None:
    said = spell_answer(PlainAnswer(status=202, fields={"Retry-After": "3"}, body=b"{}"), DATE)
    assert said == (
        b"HTTP/1.1 202 Accepted\r\nServer: Homeport\r\nRetry-After: 3\r\nContent-Length: 2\r\n"
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n{}"
    )
    assert b"\r\nConnection: close\r\n" in spell_answer(PlainAnswer(status=401, closes=True), DATE)


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb"])
def test_no_field_breaks_out_of_its_line(value: str) -> None:
    with pytest.raises(ValueError, match="Location"):
        spell_answer(PlainAnswer(status=202, fields={"Location": value}), DATE)
