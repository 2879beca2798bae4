"""What every kind of test may share: the private PostgreSQL."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.postgres import PostgresFailedError, PostgresMissingError, PrivatePostgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PrivatePostgres]:
    """Start a PostgreSQL on first use; a missing one fails the test, for a skipped test proves nothing."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(PrivatePostgres())
        except (PostgresMissingError, PostgresFailedError) as error:
            pytest.fail(str(error), pytrace=False)
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: PrivatePostgres) -> str:
    """Return the address of a database that all tests of the run share."""
    return postgres.new_database()


@pytest.fixture
def postgres_database(postgres: PrivatePostgres) -> str:
    """Return the address of an empty database, one for each test."""
    return postgres.new_database()
