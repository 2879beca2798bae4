"""Many at once: registrations of nobody, by the thousand; the record of why stays bounded and useful."""

import os
import threading
import time

import httpx

from tests.hostile.target import Target, new_key, unique

STRANGERS = 3000
THREADS = 8
OF_ONE = 200
KEPT = 20
"""What `why` keeps of one device."""


def test_thousands_of_strangers(target: Target) -> None:
    registration_id, key = target.enroll("amid-the-flood")
    token = target.device_token(registration_id, key)
    assert target.ask("PUT", target.register_path(registration_id), b"{}", {"Authorization": token}).status == 202
    before, codes = target.resident_mb(), list[int]()

    body = b'{"payload":"' + b"x" * 500 + b'"}'

    def flood() -> None:
        with httpx.Client(verify=target.context(), base_url=f"https://{target.host}", trust_env=False) as client:
            for number in range(STRANGERS // THREADS):
                name = unique("stranger")
                headers = {"User-Agent": os.urandom(60).hex() * 4}
                if number % 3:
                    headers["Authorization"] = target.device_token(name, key)
                answer = client.put(target.register_path(name), content=body, headers=headers)
                codes.append(answer.status_code)

    threads = [threading.Thread(target=flood) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert codes == [401] * len(codes)
    assert len(codes) == STRANGERS // THREADS * THREADS
    assert target.resident_mb() - before < 50
    # The good device's record is not washed away by the others'.
    (attempt,) = target.why(registration_id)
    assert (attempt.outcome, attempt.registration_id) == ("assigned", registration_id)
    assert len(target.admin.page_attempts(page_size=1000).items) == 1000


def test_one_device_that_does_not_stop(target: Target) -> None:
    """Of one registration id the latest attempts are kept, and no more, however many there were."""
    registration_id, key = target.enroll("insistent")
    path = target.register_path(registration_id)
    with httpx.Client(verify=target.context(), base_url=f"https://{target.host}", trust_env=False) as client:
        answers = [
            client.put(path, headers={"Authorization": target.device_token(registration_id, new_key())})
            for _ in range(OF_ONE)
        ]
        assert {answer.status_code for answer in answers} <= {401, 429}
        assert answers[0].status_code == 401
        token = target.device_token(registration_id, key)
        while (answer := client.put(path, headers={"Authorization": token})).status_code == 429:
            time.sleep(int(answer.headers["retry-after"]))
        assert answer.status_code == 202
    attempts = target.admin.why(registration_id, limit=1000)
    assert len(attempts) <= KEPT
    assert attempts[0].outcome == "assigned"
    assert all(attempt.registration_id == registration_id for attempt in attempts)
    assert len({attempt.tracking_id for attempt in attempts}) == len(attempts)


def test_many_register_at_once(target: Target) -> None:
    """Honest devices beside a crowd that opens connections and says nonsense."""
    device, stop = target.enroll("in-the-crowd"), threading.Event()

    def crowd() -> None:
        while not stop.is_set():
            target.ask_raw(os.urandom(200) + b"\r\n\r\n")

    threads = [threading.Thread(target=crowd) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            headers = {"Authorization": target.device_token(*device)}
            assert target.ask("PUT", target.register_path(device[0]), b"{}", headers).status == 202
    finally:
        stop.set()
        for thread in threads:
            thread.join()
