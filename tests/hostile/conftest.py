"""One real server that everything hostile is thrown at; after each family it must be as well as before."""

import re
from collections.abc import Iterator

import pytest

from tests.hostile.slow import SlowClients
from tests.hostile.target import ADDRESS, Target
from tests.server import HomeportServer

GROWTH_MB = 100
_FAULT = re.compile(r"^.* (?:ERROR|CRITICAL) .*$|^Traceback.*$", re.MULTILINE)


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with HomeportServer(tmp_path_factory.mktemp("hostile") / "data", (ADDRESS,)) as server:
        target = Target(server)
        yield target
        target.close()
        assert server.stop() == 0


@pytest.fixture(scope="session", autouse=True)
def slow_clients(target: Target) -> Iterator[SlowClients]:
    """Begin what takes the server's patience to end; `test_slow` looks at the end, the others go on beside it."""
    with SlowClients(target) as clients:
        yield clients


@pytest.fixture(scope="module", autouse=True)
def unharmed(target: Target, slow_clients: SlowClients) -> Iterator[None]:
    """After each family: devices register as ever, memory is bounded, the log tells no fault and no secret."""
    del slow_clients  # they come first, so that they are counted into the memory of the first family
    before, read = target.resident_mb(), target.log_size()
    yield
    assert target.server.running
    target.register_a_normal_device()
    assert target.resident_mb() - before < GROWTH_MB
    log = target.log_since(read)
    assert _FAULT.findall(log) == [], log[_FAULT.search(log).start() :][:3000]  # type: ignore[union-attr]  # it was found
    assert [secret for secret in target.secrets if secret in log] == []
