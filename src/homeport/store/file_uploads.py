"""Files that devices of one hub upload, in SQL: settings, uploads under way, notifications."""

from datetime import datetime, timedelta

from msgspec import Struct

from homeport.dps.model import Kind, change
from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import FileNotification, FileUpload, FileUploadSettings
from homeport.security.callers import SYSTEM, Caller
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.journal import SqlJournal
from homeport.store.notices import SqlNoticeStore
from homeport.store.rows import Codec, key_of, to_micros

_SETTINGS = "SELECT data FROM file_upload_settings WHERE hub = :hub"
_SETTLE = "INSERT INTO file_upload_settings (hub, data) VALUES (:hub, :data) ON CONFLICT (hub) DO NOTHING"
_CHANGE = """
    INSERT INTO file_upload_settings (hub, data) VALUES (:hub, :data)
    ON CONFLICT (hub) DO UPDATE SET data = excluded.data"""

_HOLD_DEVICE = "SELECT device_id FROM devices WHERE hub = :hub AND device_id = :target /*postgres FOR UPDATE*/"
_OPEN = "SELECT count(*) FROM file_uploads WHERE hub = :hub AND target = :target AND expires_at > :now"
_BEGIN = """
    INSERT INTO file_uploads (hub, correlation_id, target, expires_at, data)
    VALUES (:hub, :correlation_id, :target, :expires_at, :data)"""
_OF_UPLOAD = "WHERE hub = :hub AND correlation_id = :correlation_id"
_FIND = f"SELECT data FROM file_uploads {_OF_UPLOAD}"
_END = f"DELETE FROM file_uploads {_OF_UPLOAD}"
_NOTIFY = """
    INSERT INTO file_notifications (hub, created_at, token, locked_until, deliveries, data)
    VALUES (:hub, :now, NULL, 0, 0, :data)"""
_EXPIRE = "DELETE FROM file_uploads WHERE hub = :hub AND expires_at < :before"


class SettingsRow(Struct, kw_only=True, omit_defaults=True):
    built_in_key: bytes
    connection_string: str | None = None
    container: str | None = None
    sas_seconds: int
    notifications: bool
    enabled: bool = True


class UploadRow(Struct, kw_only=True):
    correlation_id: str
    target: str
    blob_name: str
    blob_uri: str
    expires_at: datetime


class NotificationRow(Struct, kw_only=True):
    device_id: str
    blob_uri: str
    blob_name: str
    last_updated_at: datetime
    size: int
    enqueued_at: datetime


_settings_codec = Codec(SettingsRow)
_upload_codec = Codec(UploadRow)
_notification_codec = Codec(NotificationRow)


class SqlFileUploadStore:
    """FileUploadStore of one hub over a Database."""

    def __init__(self, database: Database, journal: SqlJournal, hub: str) -> None:
        self._database = database
        self._journal = journal
        self._name = hub
        self._hub = key_of(hub)

    async def settings(self, initial: FileUploadSettings) -> FileUploadSettings:
        row = await self._database.fetch_one(_SETTINGS, {"hub": self._hub})
        if row is None:
            await self._database.execute(_SETTLE, {"hub": self._hub, "data": _settings(initial)})
            row = await self._database.fetch_one(_SETTINGS, {"hub": self._hub})
        assert row is not None, "settings are never deleted"
        return _told(row[0])

    async def configure(self, settings: FileUploadSettings, *, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            row = await transaction.fetch_one(_SETTINGS, {"hub": self._hub})
            await transaction.execute(_CHANGE, {"hub": self._hub, "data": _settings(settings)})
            entry = change(
                Kind.HUB_FILES_UPDATED,
                f"hubs/{self._name}/fileUpload",
                by,
                before=None if row is None else _told(row[0]),
                after=settings,
            )
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def begin(self, upload: FileUpload, *, limit: int, now: datetime) -> None:
        row = UploadRow(
            correlation_id=upload.correlation_id,
            target=upload.target,
            blob_name=upload.blob_name,
            blob_uri=upload.blob_uri,
            expires_at=upload.expires_at,
        )

        async def work(transaction: Transaction) -> None:
            where: Parameters = {"hub": self._hub, "target": upload.target}
            # The row's lock is held until the commit: requests of one device take turns.
            await transaction.fetch_one(_HOLD_DEVICE, where)
            under_way = await transaction.fetch_one(_OPEN, {**where, "now": to_micros(now)})
            if under_way is not None and under_way[0] >= limit:
                raise HubError(HubCode.TOO_MANY_UPLOADS, f"{limit} uploads of {upload.target} are under way already.")
            await transaction.execute(
                _BEGIN,
                {
                    **where,
                    "correlation_id": upload.correlation_id,
                    "expires_at": to_micros(upload.expires_at),
                    "data": _upload_codec.encode(row),
                },
            )

        await self._database.write(work)

    async def find(self, correlation_id: str) -> FileUpload | None:
        row = await self._database.fetch_one(_FIND, {"hub": self._hub, "correlation_id": correlation_id})
        if row is None:
            return None
        stored = _upload_codec.decode(row[0])
        return FileUpload(
            correlation_id=stored.correlation_id,
            target=stored.target,
            blob_name=stored.blob_name,
            blob_uri=stored.blob_uri,
            expires_at=stored.expires_at,
        )

    async def end(self, correlation_id: str, notification: FileNotification | None) -> bool:
        async def work(transaction: Transaction) -> bool:
            if not await transaction.execute(_END, {"hub": self._hub, "correlation_id": correlation_id}):
                return False
            if notification is not None:
                row = NotificationRow(
                    device_id=notification.device_id,
                    blob_uri=notification.blob_uri,
                    blob_name=notification.blob_name,
                    last_updated_at=notification.last_updated_at,
                    size=notification.size,
                    enqueued_at=notification.enqueued_at,
                )
                told: Parameters = {"now": to_micros(notification.enqueued_at), "data": _notification_codec.encode(row)}
                await transaction.execute(_NOTIFY, {"hub": self._hub, **told})
            return True

        return await self._database.write(work)

    async def expire(self, *, before: datetime) -> int:
        return await self._database.execute(_EXPIRE, {"hub": self._hub, "before": to_micros(before)})


def file_notification_store(database: Database, hub: str) -> SqlNoticeStore[FileNotification]:
    """Return what services are to be told of a hub's files."""
    return SqlNoticeStore(database, hub, table="file_notifications", read=_notification)


def _told(data: str) -> FileUploadSettings:
    stored = _settings_codec.decode(data)
    return FileUploadSettings(
        built_in_key=stored.built_in_key,
        connection_string=stored.connection_string,
        container=stored.container,
        sas_life=timedelta(seconds=stored.sas_seconds),
        notifications=stored.notifications,
        enabled=stored.enabled,
    )


def _settings(settings: FileUploadSettings) -> str:
    return _settings_codec.encode(
        SettingsRow(
            built_in_key=settings.built_in_key,
            connection_string=settings.connection_string,
            container=settings.container,
            sas_seconds=int(settings.sas_life.total_seconds()),
            notifications=settings.notifications,
            enabled=settings.enabled,
        )
    )


def _notification(data: str, deliveries: int) -> FileNotification:
    del deliveries
    row = _notification_codec.decode(data)
    return FileNotification(
        device_id=row.device_id,
        blob_uri=row.blob_uri,
        blob_name=row.blob_name,
        last_updated_at=row.last_updated_at,
        size=row.size,
        enqueued_at=row.enqueued_at,
    )
