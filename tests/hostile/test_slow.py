"""Slow-loris clients of every kind, begun with the session: each is ended by the server, and was no harm meanwhile."""

from tests.hostile.slow import SlowClients

LIMIT_SECONDS = 60.0
"""Beyond the server's longest patience, which is 30 seconds."""


def test_the_server_ends_every_slow_client(slow_clients: SlowClients) -> None:
    assert slow_clients.wait(LIMIT_SECONDS) == {}


def test_slow_bodies_are_told_why(slow_clients: SlowClients) -> None:
    slow_clients.wait(LIMIT_SECONDS)
    answers = {client.kind: client.answer for client in slow_clients.clients if "body" in client.kind}
    assert len(answers) == 3
    for kind, answer in answers.items():
        assert answer.startswith(b"HTTP/1.1 408 "), (kind, answer)
        assert b"did not arrive in time" in answer


def test_bodies_without_end_are_too_large(slow_clients: SlowClients) -> None:
    slow_clients.wait(LIMIT_SECONDS)
    answers = {client.kind: client.answer for client in slow_clients.clients if "chunks" in client.kind}
    assert len(answers) == 3
    for kind, answer in answers.items():
        # A hub takes megabytes in bulk from those who may write: there the time runs out first.
        assert answer.startswith(b"HTTP/1.1 408 " if "hub" in kind else b"HTTP/1.1 413 "), (kind, answer)


def test_who_said_nothing_hears_nothing(slow_clients: SlowClients) -> None:
    slow_clients.wait(LIMIT_SECONDS)
    answered = ("body", "chunks", "SASL", "WebSocket")
    for client in slow_clients.clients:
        if not any(word in client.kind for word in answered):
            assert client.answer == b"", client.kind
