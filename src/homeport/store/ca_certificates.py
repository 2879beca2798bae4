"""Certificate authorities and their revocation lists, in SQL."""

from collections.abc import Sequence

from homeport.dps.model import (
    CaCertificate,
    CaReferences,
    EnrollmentGroup,
    IndividualEnrollment,
    Kind,
    StoredCrl,
    TpmGroupAttestation,
    change,
)
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Transaction, Value
from homeport.store.enrollment_rows import group_of, individual_of
from homeport.store.journal import SqlJournal
from homeport.store.rows import Codec, key_of

_ALL = "SELECT data FROM ca_certificates ORDER BY name_key"
_COUNT = "SELECT count(*) FROM ca_certificates"
_GET = "SELECT data FROM ca_certificates WHERE name_key = :name_key"
_CREATE = """
    INSERT INTO ca_certificates (name_key, etag, data) VALUES (:name_key, :etag, :data)
    ON CONFLICT (name_key) DO NOTHING"""
_REPLACE = "UPDATE ca_certificates SET etag = :etag, data = :data WHERE name_key = :name_key"
_DELETE = "DELETE FROM ca_certificates WHERE name_key = :name_key"

# Only those whose document has such a reference somewhere; what it is, the document says.
_GROUPS = "SELECT id, etag, data FROM enrollment_groups WHERE CAST(data AS TEXT) LIKE :mark ORDER BY id_key"
_INDIVIDUALS = "SELECT id, etag, data FROM individual_enrollments WHERE CAST(data AS TEXT) LIKE :mark ORDER BY id_key"
_MARKS = ('%"caReferences"%', '%"tpmGroup"%')
_SHOWN = 10

_CRLS = "SELECT data FROM crls ORDER BY authority"
_GET_CRL = "SELECT data FROM crls WHERE authority = :authority"
_READ_CRL = "SELECT der FROM crls WHERE authority = :authority"
_PUT_CRL = """
    INSERT INTO crls (authority, data, der) VALUES (:authority, :data, :der)
    ON CONFLICT (authority) DO UPDATE SET data = excluded.data, der = excluded.der"""
_DELETE_CRL = "DELETE FROM crls WHERE authority = :authority"

_codec = Codec(CaCertificate)
_crl_codec = Codec(StoredCrl)


class SqlCaCertificateStore:
    """CaCertificateStore over a Database."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
        self._certificates = CachedTable(database, "ca_certificates", _load)
        self._groups = CachedTable(database, "enrollment_groups", _nothing)
        """Only to say that they are to be read anew: groups refer to certificates."""

    async def all(self) -> Sequence[CaCertificate]:
        return await self._certificates.content()

    async def create(self, certificate: CaCertificate, *, limit: int, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            # First, because it is the lock that lets one writer at a time count.
            await self._changed(transaction)
            row = await transaction.fetch_one(_COUNT)
            if not await transaction.execute(_CREATE, _values(certificate)):
                raise HomeportError(
                    Code.CA_CERTIFICATE_EXISTS, f"The CA certificate '{certificate.name}' exists already."
                )
            if row is not None and row[0] >= limit:
                raise HomeportError(
                    Code.INVALID_REQUEST, f"There are {limit} CA certificates already: that is the limit."
                )
            entry = change(Kind.CA_CERTIFICATE_UPLOADED, _subject(certificate.name), by, after=certificate)
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def replace(self, certificate: CaCertificate, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            await self._changed(transaction)
            before = await _expect(transaction, certificate.name, expected_etag)
            await transaction.execute(_REPLACE, _values(certificate))
            vouched = before.is_verified and before.certificate == certificate.certificate
            news = certificate.is_verified and not vouched
            kind = Kind.CA_CERTIFICATE_VERIFIED if news else Kind.CA_CERTIFICATE_UPDATED
            entry = change(kind, _subject(certificate.name), by, before=before, after=certificate)
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def delete(self, name: str, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            # It stops writers of groups, too, until this is done: nobody comes to refer to it meanwhile.
            await self._changed(transaction)
            before = await _expect(transaction, name, expected_etag)
            if users := await _users(transaction, name):
                more = "" if len(users) <= _SHOWN else f" and {len(users) - _SHOWN} more"
                raise HomeportError(
                    Code.CA_CERTIFICATE_IN_USE,
                    f"The CA certificate '{name}' is still referred to by {', '.join(users[:_SHOWN])}{more}.",
                )
            await transaction.execute(_DELETE, {"name_key": key_of(name)})
            entry = change(Kind.CA_CERTIFICATE_DELETED, _subject(before.name), by, before=before)
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def _changed(self, transaction: Transaction) -> None:
        await self._certificates.changed(transaction)
        await self._groups.changed(transaction)


class SqlCrlStore:
    """CrlStore over a Database."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
        self._crls = CachedTable(database, "crls", _load_crls)

    async def all(self) -> Sequence[StoredCrl]:
        return await self._crls.content()

    async def read(self, authority: str) -> bytes | None:
        row = await self._database.fetch_one(_READ_CRL, {"authority": authority})
        return None if row is None else row[0]

    async def put(self, crl: StoredCrl, der: bytes, *, told_as: str | None = None, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            await self._crls.changed(transaction)
            before = await _crl(transaction, crl.authority)
            await transaction.execute(
                _PUT_CRL, {"authority": crl.authority, "data": _crl_codec.encode(crl), "der": der}
            )
            if told_as is not None:
                entry = change(Kind.CRL_UPLOADED, _subject(told_as), by, before=before, after=crl)
                await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def delete(self, authority: str, *, told_as: str | None = None, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            await self._crls.changed(transaction)
            before = await _crl(transaction, authority)
            if before is None:
                return
            await transaction.execute(_DELETE_CRL, {"authority": authority})
            if told_as is not None:
                entry = change(Kind.CRL_DELETED, _subject(told_as), by, before=before)
                await self._journal.append(transaction, entry)

        await self._database.write(work)


async def _load(transaction: Transaction) -> Sequence[CaCertificate]:
    return [_codec.decode(data) for (data,) in await transaction.fetch_all(_ALL)]


async def _load_crls(transaction: Transaction) -> Sequence[StoredCrl]:
    return [_crl_codec.decode(data) for (data,) in await transaction.fetch_all(_CRLS)]


async def _nothing(transaction: Transaction) -> Sequence[None]:
    del transaction
    return ()


async def _crl(transaction: Transaction, authority: str) -> StoredCrl | None:
    row = await transaction.fetch_one(_GET_CRL, {"authority": authority})
    return None if row is None else _crl_codec.decode(row[0])


async def _expect(transaction: Transaction, name: str, expected_etag: str | None) -> CaCertificate:
    row = await transaction.fetch_one(_GET, {"name_key": key_of(name)})
    if row is None:
        raise HomeportError(Code.NOT_FOUND, f"There is no CA certificate '{name}'.")
    stored = _codec.decode(row[0])
    if expected_etag is not None and stored.etag != expected_etag:
        raise HomeportError(Code.PRECONDITION_FAILED, f"The CA certificate '{name}' was changed since it was read.")
    return stored


async def _users(transaction: Transaction, name: str) -> list[str]:
    """Return in words who refers to a certificate."""
    groups: list[EnrollmentGroup] = []
    for mark in _MARKS:
        groups += [group_of(*row) for row in await transaction.fetch_all(_GROUPS, {"mark": mark})]
    individuals: list[IndividualEnrollment] = [
        individual_of(*row) for row in await transaction.fetch_all(_INDIVIDUALS, {"mark": _MARKS[0]})
    ]
    return [
        *(f"the group '{group.group_id}'" for group in groups if _refers(group, name)),
        *(f"the enrollment '{one.registration_id}'" for one in individuals if _refers(one, name)),
    ]


def _refers(enrollment: EnrollmentGroup | IndividualEnrollment, name: str) -> bool:
    match enrollment.attestation:
        case CaReferences(primary=primary, secondary=secondary):
            return key_of(name) in {key_of(primary), key_of(secondary or "")}
        case TpmGroupAttestation(ca_references=names):
            return key_of(name) in map(key_of, names)
        case _:
            return False


def _subject(name: str) -> str:
    return f"certificates/{name}"


def _values(certificate: CaCertificate) -> dict[str, Value]:
    return {"name_key": key_of(certificate.name), "etag": certificate.etag, "data": _codec.encode(certificate)}
