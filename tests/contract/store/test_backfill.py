"""What was written before a column existed is found by it afterwards."""

from datetime import timedelta
from typing import Any

import pytest

from homeport.dps.model import (
    CaReferences,
    Count,
    Index,
    ProvisioningStatus,
    RegistrationStatus,
    ScanOrder,
    TpmAttestation,
    Walk,
)
from homeport.store import Stores, open_database
from homeport.store.dialect import Dialect
from homeport.store.migration import migrate, scripts
from homeport.values import replace
from tests.contract.store.samples import NOW, finished, individual, registration

_ENROLLMENTS = "UPDATE individual_enrollments SET kind = '', status = '', updated_at = 0"
_REGISTRATIONS = "UPDATE registrations SET status = '', hub_key = '', updated_at = 0"


@pytest.fixture
def dialect(shared: str) -> Dialect:
    return "postgres" if shared.startswith("postgresql:") else "sqlite"


async def test_rows_of_the_second_schema(shared: str, dialect: Dialect) -> None:
    """Take the third script's work back, and let it be done again."""
    database = await open_database(shared)
    stores = Stores.over(database)
    moments = [NOW, NOW.replace(microsecond=0), NOW + timedelta(microseconds=5)]
    enrollments: list[Any] = [
        individual("a", updated_at=moments[0]),
        individual("b", updated_at=moments[1], attestation=TpmAttestation(endorsement_key=b"e")),
        individual("c", updated_at=moments[2], attestation=CaReferences(primary="x"), provisioning_status=None),
        individual("d", provisioning_status=ProvisioningStatus.DISABLED),
    ]
    for enrollment in enrollments:
        await stores.enrollments.create_individual(enrollment)
    await stores.registrations.open(registration("a"), expected_etag=None)
    opened = await stores.registrations.open(registration("b"), expected_etag=None)
    failed = replace(finished(opened), status=RegistrationStatus.FAILED)
    await stores.registrations.save(failed, lease_owner="me")

    async def snapshot() -> list[Any]:
        return [
            [tuple(row) for row in await database.fetch_all(f"SELECT id, {columns} FROM {table} ORDER BY id_key")]
            for table, columns in (
                ("individual_enrollments", "kind, status, updated_at"),
                ("registrations", "status, hub_key, updated_at"),
            )
        ]

    before = await snapshot()
    script = next(each for each in scripts() if each.number == 3)
    for undo in (_ENROLLMENTS, _REGISTRATIONS):
        await database.execute(undo)
    updates = "\n".join(
        part.strip() + ";" for part in script.text.split(";\n") if part.strip().startswith(("UPDATE ind", "UPDATE reg"))
    )
    assert updates.count("UPDATE") == 2
    again = replace(script, number=9001, name="9001_again.sql", text=updates)
    await migrate(database, dialect, [*scripts(), again])
    assert await snapshot() == before
    assert await stores.registrations.count() == [
        Count(kind="", status="assigning", number=1),
        Count(kind="hub.example.net", status="failed", number=1),
    ]
    for walk, expected in (
        (Walk(index=Index.ATTESTATION, values=("tpm",)), ["b"]),
        (Walk(index=Index.PROVISIONING_STATUS, values=("disabled",)), ["d"]),
        (Walk(order=ScanOrder.UPDATED, since=moments[2]), ["c"]),
        (Walk(index=Index.HUB, values=("hub.example.net",)), ["b"]),
    ):
        found = await stores.enrollments.walk_individuals(walk, after=None, limit=9, with_registrations=False)
        assert [each.cursor.id_key for each in found] == expected
    await database.close()
