"""The imports and exports of one hub, in SQL."""

from collections.abc import Sequence
from datetime import datetime

from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import Transfer, TransferStatus
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.rows import Codec, key_of, to_micros
from homeport.values import replace

_ONE = "WHERE hub = :hub AND job_id = :job_id"
# The index of open ones refuses a second, too: what it refuses is not told apart from a job id that is taken.
_CREATE = """
    INSERT INTO hub_transfers (hub, job_id, created_at, open, owner, lease_until, data)
    VALUES (:hub, :job_id, :created_at, 1, NULL, 0, :data) ON CONFLICT DO NOTHING"""
_GET = f"SELECT data FROM hub_transfers {_ONE}"
_HOLD = f"{_GET} /*postgres FOR UPDATE*/"
_ALL = "SELECT data FROM hub_transfers WHERE hub = :hub ORDER BY created_at DESC, job_id"
_DUE = "SELECT data FROM hub_transfers WHERE hub = :hub AND open = 1 AND lease_until <= :now"
_HOLD_DUE = f"{_DUE} /*postgres FOR UPDATE SKIP LOCKED*/"
_LEASE = f"UPDATE hub_transfers SET owner = :owner, lease_until = :until {_ONE}"
_MINE = f"{_ONE} AND owner = :owner AND open = 1"
_RENEW = f"UPDATE hub_transfers SET lease_until = :until {_MINE}"
_SAVE = f"UPDATE hub_transfers SET open = :open, data = :data {_MINE}"
_END = f"UPDATE hub_transfers SET open = 0, data = :data {_ONE}"
_RELEASE = "UPDATE hub_transfers SET owner = NULL, lease_until = 0 WHERE hub = :hub AND open = 1"
_EXPIRE = "DELETE FROM hub_transfers WHERE hub = :hub AND open = 0 AND created_at < :before"

_codec = Codec(Transfer)


class SqlTransferStore:
    """TransferStore of one hub over a Database."""

    def __init__(self, database: Database, hub: str) -> None:
        self._database = database
        self._hub = key_of(hub)

    async def create(self, transfer: Transfer) -> None:
        values: Parameters = {
            **self._where(transfer.job_id),
            "created_at": to_micros(transfer.created_at),
            "data": _codec.encode(transfer),
        }
        if not await self._database.execute(_CREATE, values):
            raise HubError(HubCode.JOB_QUOTA_EXCEEDED, "Another import or export has not ended.")

    async def get(self, job_id: str) -> Transfer | None:
        row = await self._database.fetch_one(_GET, self._where(job_id))
        return None if row is None else _codec.decode(row[0])

    async def all(self) -> Sequence[Transfer]:
        return [_codec.decode(data) for (data,) in await self._database.fetch_all(_ALL, {"hub": self._hub})]

    async def cancel(self, job_id: str, *, now: datetime) -> Transfer | None:
        async def work(transaction: Transaction) -> Transfer | None:
            row = await transaction.fetch_one(_HOLD, self._where(job_id))
            if row is None:
                return None
            transfer = _codec.decode(row[0])
            if transfer.status.is_end:
                return transfer
            ended = replace(
                transfer,
                status=TransferStatus.CANCELLED,
                ended_at=now,
                input_container=None,
                output_container=None,
            )
            await transaction.execute(_END, {**self._where(job_id), "data": _codec.encode(ended)})
            return ended

        return await self._database.write(work)

    async def claim(self, *, now: datetime, owner: str, until: datetime) -> Transfer | None:
        async def work(transaction: Transaction) -> Transfer | None:
            row = await transaction.fetch_one(_HOLD_DUE, {"hub": self._hub, "now": to_micros(now)})
            if row is None:
                return None
            transfer = _codec.decode(row[0])
            where = self._where(transfer.job_id)
            await transaction.execute(_LEASE, {**where, "owner": owner, "until": to_micros(until)})
            return transfer

        # Looked at first: most of the time nothing is due, and a look is cheaper than a write.
        if await self._database.fetch_one(_DUE, {"hub": self._hub, "now": to_micros(now)}) is None:
            return None
        return await self._database.write(work)

    async def renew(self, job_id: str, *, owner: str, until: datetime) -> bool:
        values: Parameters = {**self._where(job_id), "owner": owner, "until": to_micros(until)}
        return await self._database.execute(_RENEW, values) > 0

    async def save(self, transfer: Transfer, *, owner: str) -> bool:
        values: Parameters = {
            **self._where(transfer.job_id),
            "owner": owner,
            "open": 0 if transfer.status.is_end else 1,
            "data": _codec.encode(transfer),
        }
        return await self._database.execute(_SAVE, values) > 0

    async def release(self) -> None:
        await self._database.execute(_RELEASE, {"hub": self._hub})

    async def expire(self, *, created_before: datetime) -> int:
        return await self._database.execute(_EXPIRE, {"hub": self._hub, "before": to_micros(created_before)})

    def _where(self, job_id: str) -> dict[str, str]:
        return {"hub": self._hub, "job_id": job_id}
