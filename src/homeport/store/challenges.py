"""TPM challenges in SQL, each for the minutes between two requests."""

from datetime import datetime, timedelta

from msgspec import Struct

from homeport.dps.model import PendingChallenge
from homeport.store.database import Database, Transaction
from homeport.store.rows import Codec, from_micros, key_of, to_micros

_KEPT = timedelta(hours=1)
"""How long an expired challenge may stay before one that comes later sweeps it out."""

_PUT = """
    INSERT INTO challenges (id_key, expires_at, data) VALUES (:id_key, :expires_at, :data)
    ON CONFLICT (id_key) DO UPDATE SET expires_at = excluded.expires_at, data = excluded.data"""

_SWEEP = """
    DELETE FROM challenges WHERE id_key IN (
        SELECT id_key FROM challenges WHERE expires_at < :long_ago ORDER BY expires_at LIMIT 2
        /*postgres FOR UPDATE SKIP LOCKED*/
    )"""

_GET = "SELECT expires_at, data FROM challenges WHERE id_key = :id_key AND expires_at > :now"


class ChallengeRow(Struct, kw_only=True):
    registration_id: str
    key: bytes
    endorsement_key: bytes
    storage_root_key: bytes
    endorsement_chain: tuple[bytes, ...] = ()


_codec = Codec(ChallengeRow)


def encode_challenge(challenge: PendingChallenge) -> str:
    return _codec.encode(
        ChallengeRow(
            registration_id=challenge.registration_id,
            key=challenge.key,
            endorsement_key=challenge.endorsement_key,
            storage_root_key=challenge.storage_root_key,
            endorsement_chain=challenge.endorsement_chain,
        )
    )


def challenge_of(expires_at: int, data: str) -> PendingChallenge:
    row = _codec.decode(data)
    return PendingChallenge(
        registration_id=row.registration_id,
        key=row.key,
        endorsement_key=row.endorsement_key,
        storage_root_key=row.storage_root_key,
        endorsement_chain=row.endorsement_chain,
        expires_at=from_micros(expires_at),
    )


class SqlChallengeStore:
    """ChallengeStore over a Database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, challenge: PendingChallenge) -> None:
        async def work(transaction: Transaction) -> None:
            # Two out for one in: the table cannot grow with challenges that nobody came back for.
            await transaction.execute(_SWEEP, {"long_ago": to_micros(challenge.expires_at - _KEPT)})
            await transaction.execute(
                _PUT,
                {
                    "id_key": key_of(challenge.registration_id),
                    "expires_at": to_micros(challenge.expires_at),
                    "data": encode_challenge(challenge),
                },
            )

        await self._database.write(work)

    async def get(self, registration_id: str, *, now: datetime) -> PendingChallenge | None:
        row = await self._database.fetch_one(_GET, {"id_key": key_of(registration_id), "now": to_micros(now)})
        return None if row is None else challenge_of(*row)
