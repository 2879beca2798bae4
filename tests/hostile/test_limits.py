"""Floods against the limits: who floods is slowed down, everybody else is served as if nothing were."""

import contextlib
import socket
import ssl
import threading

import httpx

from tests.hostile.target import HTTPS, MQTT, SECONDS, Answer, Target, new_key, read_answer, unique

FLOODER, MODEST = "127.66.0.1", "127.66.0.2"
SILENT = 400


def ask_from(target: Target, source: str, path: str, token: str, body: bytes = b"{}") -> Answer:
    plain = socket.create_connection((target.host, HTTPS), timeout=SECONDS, source_address=(source, 0))
    with plain, target.context().wrap_socket(plain, server_hostname=target.host) as connection:
        head = f"PUT {path} HTTP/1.1\r\nHost: {target.host}\r\nAuthorization: {token}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = read_answer(connection)
    assert answer is not None
    return answer


def register_from(target: Target, source: str, registration_id: str, key: str) -> Answer:
    return ask_from(target, source, target.register_path(registration_id), target.device_token(registration_id, key))


def test_silent_connections_of_one_address_keep_nobody_out(target: Target) -> None:
    """Far more than there are handshakes: one address has its share of them, and others get in beside it."""
    registration_id, key = target.enroll("beside-the-silent")
    with contextlib.ExitStack() as silent:
        for port in (HTTPS, MQTT):
            for _ in range(SILENT // 2):
                silent.enter_context(
                    socket.create_connection((target.host, port), timeout=SECONDS, source_address=(FLOODER, 0))
                )
        assert register_from(target, MODEST, registration_id, key).status == 202


def test_silent_connections_of_several_addresses_must_be_quick(target: Target) -> None:
    registration_id, key = target.enroll("among-the-silent")
    with contextlib.ExitStack() as silent:
        for number in range(SILENT):
            source = f"127.66.1.{number % 4 + 1}"
            silent.enter_context(
                socket.create_connection((target.host, HTTPS), timeout=SECONDS, source_address=(source, 0))
            )
        for number in range(3):
            assert register_from(target, f"127.66.2.{number + 1}", registration_id, key).status == 202


def test_a_flood_of_connections_does_not_starve_another_address(target: Target) -> None:
    registration_id, key = target.enroll("beside-the-flood")
    stop, opened = threading.Event(), [0]

    def flood() -> None:
        while not stop.is_set() and opened[0] < 20_000:
            with contextlib.suppress(OSError):
                socket.create_connection((target.host, HTTPS), timeout=SECONDS, source_address=(FLOODER, 0)).close()
            opened[0] += 1

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        answers = [register_from(target, MODEST, registration_id, key) for _ in range(20)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [answer.status for answer in answers] == [202] * 20
    assert opened[0] > 100


def test_a_device_that_polls_too_often_is_told_when_to_come_back(target: Target) -> None:
    registration_id, key = target.enroll("impatient")
    other_id, other_key = target.enroll("patient")
    headers = {"Authorization": target.device_token(registration_id, key)}
    with httpx.Client(verify=target.context(), base_url=f"https://{target.host}", trust_env=False) as client:
        first = client.put(target.register_path(registration_id), content=b"{}", headers=headers).json()
        path = f"/{target.id_scope}/registrations/{registration_id}/operations/{first['operationId']}"
        polls = [client.get(path, params={"api-version": "2021-06-01"}, headers=headers) for _ in range(30)]
        other = client.put(
            target.register_path(other_id),
            content=b"{}",
            headers={"Authorization": target.device_token(other_id, other_key)},
        )
    assert other.status_code == 202
    refused = [poll for poll in polls if poll.status_code == 429]
    assert {poll.status_code for poll in polls} == {200, 429}
    assert len(refused) >= 20
    for poll in refused:
        assert 1 <= int(poll.headers["retry-after"]) <= 10
        assert poll.json()["errorCode"] == 429001
    # One record for all of them, for now; their count follows at the end of the minute.
    attempts = target.why(registration_id)
    assert len([attempt for attempt in attempts if attempt.code == 429001]) == 1


def test_an_address_that_guesses_tokens_does_not_use_up_the_service(target: Target) -> None:
    registration_id, key = target.enroll("beside-the-guesser")
    names = [unique("guess") for _ in range(50)]
    answers = [
        ask_from(target, FLOODER, target.register_path(name), target.device_token(name, new_key())) for name in names
    ]
    assert {answer.status for answer in answers} == {401}
    assert register_from(target, MODEST, registration_id, key).status == 202
    assert 'homeport_throttled_total{call="register",scope="service"}' not in metrics(target)


def metrics(target: Target) -> str:
    context: ssl.SSLContext = target.context()
    return httpx.get(f"https://{target.host}/homeport/metrics", verify=context, trust_env=False).text
