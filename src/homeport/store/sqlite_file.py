"""A SQLite file as the driver wants it: private to its owner, with a write-ahead log, every commit on the disk."""

import os
import sqlite3
import time
from pathlib import Path

MEMORY = ":memory:"
BUSY_MILLISECONDS = 10_000
"""How long to wait for another process's lock."""
_STATEMENTS = 256


def attempt(connection: sqlite3.Connection, sql: str) -> sqlite3.Error | None:
    """Run a statement without results; returns what went wrong."""
    try:
        connection.execute(sql)
    except sqlite3.Error as error:
        return error
    return None


def create_private(path: Path) -> None:
    """Create folder and file for their owner alone; SQLite gives its side files the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def connect(name: str, *, read_only: bool) -> sqlite3.Connection:
    """Open a file that is there, or a database in memory. Raises sqlite3.Error."""
    location = name if name == MEMORY else f"{Path(name).absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    connection = sqlite3.connect(
        location,
        uri=True,
        timeout=BUSY_MILLISECONDS / 1000,
        isolation_level=None,
        check_same_thread=False,  # the writer belongs to loop and thread in turn, never to both
        cached_statements=_STATEMENTS,
    )
    try:
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute("PRAGMA temp_store = MEMORY")
        if not read_only:
            _set_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _set_wal(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log; of several processes that start at once, SQLite makes some ask again."""
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        error = attempt(connection, "PRAGMA journal_mode = WAL")
        if error is None:
            return
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
            raise error
        time.sleep(0.01)
