"""Every store over one database, and how a database is opened."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from homeport.clock import Clock, SystemClock
from homeport.hub.model import BUILT_IN, PARTITIONS, FeedbackRecord, FileNotification
from homeport.store.administrators import SqlAdministratorStore
from homeport.store.allocation_settings import SqlAllocationSettingsStore
from homeport.store.attempts import SqlAttemptStore
from homeport.store.authorities import SqlAuthorityStore, SqlCertificatePolicyStore
from homeport.store.blobs import SqlBlobIndex
from homeport.store.ca_certificates import SqlCaCertificateStore, SqlCrlStore
from homeport.store.challenges import SqlChallengeStore
from homeport.store.configurations import SqlConfigurationStore
from homeport.store.database import Database
from homeport.store.devices import SqlDeviceStore
from homeport.store.dialect import Dialect
from homeport.store.enrollments import SqlEnrollmentStore
from homeport.store.event_log import SqlEventLog
from homeport.store.event_streams import SqlEventStreamStore
from homeport.store.file_uploads import SqlFileUploadStore, file_notification_store
from homeport.store.hub_ca_certificates import SqlHubCaCertificates, SqlHubCaCertificateStore
from homeport.store.hub_queue_settings import SqlHubQueueSettings, SqlQueueSettingsStore
from homeport.store.hubs import SqlHubStore
from homeport.store.ip_filter import SqlIpFilterStore
from homeport.store.issued_certificates import SqlIssuedCertificateStore
from homeport.store.jobs import SqlJobStore
from homeport.store.journal import SqlJournal
from homeport.store.linked_hubs import SqlLinkedHubStore
from homeport.store.messages import SqlMessageStore, feedback_store
from homeport.store.migration import check, migrate
from homeport.store.mqtt_subscriptions import SqlMqttSubscriptionStore
from homeport.store.nodes import SqlNodeStore
from homeport.store.notices import SqlNoticeStore
from homeport.store.policies import SqlPolicyStore
from homeport.store.registrations import SqlRegistrationStore
from homeport.store.routing import SqlDeliveryStore, SqlRoutingStore
from homeport.store.settings import SettingsStore
from homeport.store.sqlite import SqliteDatabase
from homeport.store.statistics import look
from homeport.store.subscriptions import SqlSubscriptionStore
from homeport.store.transfers import SqlTransferStore


class Stores(Struct, frozen=True, kw_only=True):
    """What one Homeport remembers."""

    database: Database
    settings: SettingsStore
    journal: SqlJournal
    enrollments: SqlEnrollmentStore
    registrations: SqlRegistrationStore
    challenges: SqlChallengeStore
    attempts: SqlAttemptStore
    linked_hubs: SqlLinkedHubStore
    allocation: SqlAllocationSettingsStore
    administrators: SqlAdministratorStore
    subscriptions: SqlSubscriptionStore
    hubs: SqlHubStore
    hub_ca_certificates: SqlHubCaCertificates
    hub_queue_settings: SqlHubQueueSettings
    ca_certificates: SqlCaCertificateStore
    crls: SqlCrlStore
    authorities: SqlAuthorityStore
    certificate_policies: SqlCertificatePolicyStore
    issued_certificates: SqlIssuedCertificateStore
    ip_filter: SqlIpFilterStore
    policies: SqlPolicyStore
    nodes: SqlNodeStore

    @classmethod
    def over(cls, database: Database, clock: Clock | None = None) -> "Stores":
        """Build every store over the database; needs its event loop. The journal's times are the clock's."""
        settings = SettingsStore(database)
        journal = SqlJournal(database, settings, clock or SystemClock())
        return cls(
            database=database,
            settings=settings,
            journal=journal,
            enrollments=SqlEnrollmentStore(database, journal),
            registrations=SqlRegistrationStore(database, journal),
            challenges=SqlChallengeStore(database),
            attempts=SqlAttemptStore(database),
            administrators=SqlAdministratorStore(database, journal),
            subscriptions=SqlSubscriptionStore(database, journal),
            linked_hubs=SqlLinkedHubStore(database, journal),
            allocation=SqlAllocationSettingsStore(database, journal),
            hubs=SqlHubStore(database),
            hub_ca_certificates=SqlHubCaCertificates(database, journal),
            hub_queue_settings=SqlHubQueueSettings(database, journal),
            ca_certificates=SqlCaCertificateStore(database, journal),
            crls=SqlCrlStore(database, journal),
            authorities=SqlAuthorityStore(database, journal),
            certificate_policies=SqlCertificatePolicyStore(database, journal),
            issued_certificates=SqlIssuedCertificateStore(database, journal),
            ip_filter=SqlIpFilterStore(database, journal),
            policies=SqlPolicyStore(database, journal),
            nodes=SqlNodeStore(database),
        )

    def devices(self, hub: str) -> SqlDeviceStore:
        """Return the registry of the hub with this name."""
        return SqlDeviceStore(self.database, hub)

    def messages(self, hub: str) -> SqlMessageStore:
        """Return the cloud-to-device queues of the hub with this name."""
        return SqlMessageStore(self.database, hub)

    def mqtt_subscriptions(self, hub: str) -> SqlMqttSubscriptionStore:
        """Return what the MQTT clients of the hub with this name are subscribed to beyond one connection."""
        return SqlMqttSubscriptionStore(self.database, hub)

    def feedback(self, hub: str) -> SqlNoticeStore[FeedbackRecord]:
        """Return what the senders of cloud-to-device messages of this hub are to be told."""
        return feedback_store(self.database, hub)

    def file_uploads(self, hub: str) -> SqlFileUploadStore:
        """Return the uploads that devices of this hub have begun, and the hub's settings for them."""
        return SqlFileUploadStore(self.database, self.journal, hub)

    def file_notifications(self, hub: str) -> SqlNoticeStore[FileNotification]:
        """Return what services are to be told of this hub's files."""
        return file_notification_store(self.database, hub)

    def blobs(self, hub: str) -> SqlBlobIndex:
        """Return the index of the blobs of this hub that the built-in store holds."""
        return SqlBlobIndex(self.database, hub)

    def hub_authorities(self, hub: str) -> SqlHubCaCertificateStore:
        """Return the CA certificates of the hub with this name."""
        return self.hub_ca_certificates.of(hub)

    def hub_queues(self, hub: str) -> SqlQueueSettingsStore:
        """Return how the hub with this name keeps cloud-to-device messages."""
        return self.hub_queue_settings.of(hub)

    def jobs(self, hub: str) -> SqlJobStore:
        """Return the scheduled jobs of the hub with this name."""
        return SqlJobStore(self.database, hub)

    def transfers(self, hub: str) -> SqlTransferStore:
        """Return the imports and exports of the hub with this name."""
        return SqlTransferStore(self.database, hub)

    def configurations(self, hub: str) -> SqlConfigurationStore:
        """Return the configurations of the hub with this name."""
        return SqlConfigurationStore(self.database, hub)

    def events(self, hub: str, *, stream: str = BUILT_IN, partitions: int = PARTITIONS) -> SqlEventLog:
        """Return a stream of the hub's event log; one object for each gathers what is appended."""
        return SqlEventLog(self.database, hub, stream=stream, partitions=partitions)

    def event_streams(self, hub: str) -> SqlEventStreamStore:
        """Return the settings of the streams of a hub's event log, and their consumer groups."""
        return SqlEventStreamStore(self.database, self.journal, hub)

    def routing(self, hub: str) -> SqlRoutingStore:
        """Return where the messages of this hub go."""
        return SqlRoutingStore(self.database, self.journal, hub)

    def deliveries(self, hub: str) -> SqlDeliveryStore:
        """Return how far messages have been carried to the endpoints of this hub."""
        return SqlDeliveryStore(self.database, hub)

    async def close(self) -> None:
        """Write what was recorded, chain the journal, and close the database."""
        await self.attempts.flush()
        await self.journal.close()
        await self.database.close()


async def open_database(
    location: str | Path, *, read_only: bool = False, alone: bool = False, pool_size: int = 10
) -> Database:
    """Open a database and bring it to the program's schema.

    `location` is a `postgresql://` URL, a file (created if missing) or `:memory:`. `read_only` opens a file that
    another process writes; `alone` says that no other process writes the file. Raises DatabaseError (out of reach)
    or SchemaError (another version's).
    """
    if str(location).startswith(("postgresql://", "postgres://")):
        from homeport.store.postgres import PostgresDatabase  # it loads asyncpg

        database: Database = await PostgresDatabase.connect(str(location), pool_size=pool_size, read_only=read_only)
        dialect: Dialect = "postgres"
    else:
        database = SqliteDatabase(location, read_only=read_only, alone=alone)
        dialect = "sqlite"
    try:
        if read_only:
            await check(database)
        else:
            await look(database, every=await migrate(database, dialect) > 0)
    except BaseException:
        await database.close()
        raise
    return database


@asynccontextmanager
async def open_stores(
    location: str | Path, *, read_only: bool = False, alone: bool = False, pool_size: int = 10
) -> AsyncIterator[Stores]:
    """Open a database as `open_database` does, and close it, with everything written, at the end."""
    database = await open_database(location, read_only=read_only, alone=alone, pool_size=pool_size)
    stores = Stores.over(database)
    try:
        yield stores
    finally:
        await stores.close()
