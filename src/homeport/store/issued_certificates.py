"""Issued certificates in SQL: written with the outcome of the operation that asked for them, found by who and when."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from homeport.dps.model import (
    CertificateRef,
    IssuedCertificate,
    Registration,
    RegistrationStatus,
    Revocation,
    RevocationList,
    certificate_given,
    certificate_revoked,
)
from homeport.paging import Page, TokenError
from homeport.security.callers import SYSTEM, Caller
from homeport.security.x509_issue import RevocationReason
from homeport.store.database import Database, Parameters, Row, Transaction, Value
from homeport.store.journal import SqlJournal
from homeport.store.rows import Codec, from_micros, key_of, to_micros

_COLUMNS = "serial, version, key_digest, not_after, revoked_at, reason, is_withdrawn, certificate, data"

_ADD = """
    INSERT INTO issued_certificates (
        serial, registration_key, authority_key, version, key_digest, not_after, is_withdrawn, certificate, data
    ) VALUES (
        :serial, :registration_key, :authority_key, :version, :key_digest, :not_after, 1, :certificate, :data
    ) ON CONFLICT (serial) DO NOTHING"""

_GET = f"SELECT {_COLUMNS} FROM issued_certificates WHERE serial = :serial"
_REVOKED_KEY = f"""
    SELECT {_COLUMNS} FROM issued_certificates WHERE key_digest = :key_digest AND revoked_at IS NOT NULL LIMIT 1"""

_REVOKE = f"""
    UPDATE issued_certificates SET revoked_at = :revoked_at, reason = :reason, is_withdrawn = 0
    WHERE serial = :serial AND revoked_at IS NULL RETURNING {_COLUMNS}"""

# Number 0 stands for a list that was never signed: whoever is about to sign the first one must hear of this, too.
_LIST_IS_DUE = """
    INSERT INTO revocation_lists (authority_key, version, number, next_update, revoked_since, der)
    VALUES (:authority_key, :version, 0, 0, 1, :nothing)
    ON CONFLICT (authority_key, version) DO UPDATE SET revoked_since = revocation_lists.revoked_since + 1"""

_TO_WITHDRAW = f"SELECT {_COLUMNS} FROM issued_certificates WHERE is_withdrawn = 0 ORDER BY serial LIMIT :limit"
_WITHDRAWN = "UPDATE issued_certificates SET is_withdrawn = 1 WHERE serial = :serial"

_REVOKED = f"""
    SELECT {_COLUMNS} FROM issued_certificates
    WHERE authority_key = :authority_key AND version = :version AND revoked_at IS NOT NULL AND not_after > :now
    ORDER BY revoked_at, serial"""

_GET_LIST = """
    SELECT number, der, next_update, revoked_since FROM revocation_lists
    WHERE authority_key = :authority_key AND version = :version"""

_CREATE_LIST = """
    INSERT INTO revocation_lists (authority_key, version, number, next_update, revoked_since, der)
    VALUES (:authority_key, :version, :number, :next_update, 0, :der)
    ON CONFLICT (authority_key, version) DO NOTHING"""

_REPLACE_LIST = """
    UPDATE revocation_lists SET number = :number, next_update = :next_update, revoked_since = 0, der = :der
    WHERE authority_key = :authority_key AND version = :version AND number = :before AND revoked_since = :seen"""

_COUNT_VALID = """
    SELECT count(*) FROM issued_certificates
    WHERE authority_key = :authority_key AND not_after > :now AND revoked_at IS NULL"""


class IssuedRow(Struct, kw_only=True, omit_defaults=True):
    thumbprint: str
    registration_id: str
    authority: str
    policy: str | None = None
    subject: str
    not_before: datetime
    issued_at: datetime
    hub: str
    device_id: str


_codec = Codec(IssuedRow)


async def add_issued(transaction: Transaction, registration: Registration, journal: SqlJournal) -> None:
    """Write the certificate that a registration ends with, in the transaction that writes the end, and tell of it."""
    issuance = registration.operation.issuance
    home = registration.assignment
    if issuance is None or home is None or registration.status is not RegistrationStatus.ASSIGNED:
        return
    if not issuance.is_new:
        return
    row = IssuedRow(
        thumbprint=issuance.ref.thumbprint,
        registration_id=registration.registration_id,
        authority=issuance.authority,
        policy=issuance.policy,
        subject=issuance.subject,
        not_before=issuance.not_before,
        issued_at=registration.updated_at,
        hub=home.hub,
        device_id=home.device_id,
    )
    values: dict[str, Value] = {
        "serial": issuance.ref.serial_number,
        "registration_key": key_of(registration.registration_id),
        "authority_key": key_of(issuance.authority),
        "version": issuance.version,
        "key_digest": issuance.key_digest,
        "not_after": to_micros(issuance.not_after),
        "certificate": issuance.chain[0],
        "data": _codec.encode(row),
    }
    if await transaction.execute(_ADD, values) and (entry := certificate_given(registration)) is not None:
        await journal.append(transaction, entry)


class SqlIssuedCertificateStore:
    """IssuedCertificateStore over a Database."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal

    async def get(self, serial_number: str) -> IssuedCertificate | None:
        row = await self._database.fetch_one(_GET, {"serial": serial_number})
        return None if row is None else _issued_of(row)

    async def revoked_with_key(self, key_digest: str) -> IssuedCertificate | None:
        row = await self._database.fetch_one(_REVOKED_KEY, {"key_digest": key_digest})
        return None if row is None else _issued_of(row)

    async def page(
        self,
        *,
        registration_id: str | None,
        authority: str | None,
        ends_after: datetime | None,
        ends_before: datetime | None,
        after: str | None,
        limit: int,
    ) -> Page[IssuedCertificate]:
        parameters: dict[str, Value] = {"limit": limit + 1}
        conditions = []
        if registration_id is not None:
            conditions.append("registration_key = :registration_key")
            parameters["registration_key"] = key_of(registration_id)
        if authority is not None:
            conditions.append("authority_key = :authority_key")
            parameters["authority_key"] = key_of(authority)
        if ends_after is not None:
            conditions.append("not_after > :ends_after")
            parameters["ends_after"] = to_micros(ends_after)
        if ends_before is not None:
            conditions.append("not_after <= :ends_before")
            parameters["ends_before"] = to_micros(ends_before)
        if after is not None:
            conditions.append("(not_after, serial) > (:after_end, :after_serial)")
            parameters["after_end"], parameters["after_serial"] = _place(after)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        rows = await self._database.fetch_all(
            f"SELECT {_COLUMNS} FROM issued_certificates{where} ORDER BY not_after, serial LIMIT :limit", parameters
        )
        return Page(
            items=[_issued_of(row) for row in rows[:limit]],
            after=f"{rows[limit - 1][3]}-{rows[limit - 1][0]}" if len(rows) > limit else None,
        )

    async def revoke(
        self, serial_number: str, revocation: Revocation, *, by: Caller = SYSTEM
    ) -> IssuedCertificate | None:
        values: dict[str, Value] = {
            "serial": serial_number,
            "revoked_at": to_micros(revocation.at),
            "reason": revocation.reason.value,
        }

        async def work(transaction: Transaction) -> IssuedCertificate | None:
            row = await transaction.fetch_one(_REVOKE, values)
            if row is None:
                row = await transaction.fetch_one(_GET, values)
                return None if row is None else _issued_of(row)
            issued = _issued_of(row)
            await transaction.execute(_LIST_IS_DUE, {**_list_key(issued.authority, issued.version), "nothing": b""})
            await self._journal.append(transaction, certificate_revoked(issued, by))
            return issued

        return await self._database.write(work)

    async def to_withdraw(self, *, limit: int) -> Sequence[IssuedCertificate]:
        return [_issued_of(row) for row in await self._database.fetch_all(_TO_WITHDRAW, {"limit": limit})]

    async def withdrawn(self, serial_number: str) -> None:
        await self._database.execute(_WITHDRAWN, {"serial": serial_number})

    async def revoked(self, authority: str, version: int, *, now: datetime) -> Sequence[IssuedCertificate]:
        rows = await self._database.fetch_all(_REVOKED, {**_list_key(authority, version), "now": to_micros(now)})
        return [_issued_of(row) for row in rows]

    async def count_valid(self, authority: str, *, now: datetime) -> int:
        row = await self._database.fetch_one(_COUNT_VALID, {"authority_key": key_of(authority), "now": to_micros(now)})
        return 0 if row is None else int(row[0])

    async def revocation_list(self, authority: str, version: int) -> RevocationList | None:
        row = await self._database.fetch_one(_GET_LIST, _list_key(authority, version))
        if row is None:
            return None
        number, der, next_update, revoked_since = row
        return RevocationList(
            authority=authority,
            version=version,
            number=number,
            der=der,
            next_update=from_micros(next_update),
            revoked_since=revoked_since,
        )

    async def put_revocation_list(self, revocation_list: RevocationList, *, after: RevocationList | None) -> bool:
        values: dict[str, Value] = {
            **_list_key(revocation_list.authority, revocation_list.version),
            "number": revocation_list.number,
            "before": None if after is None else after.number,
            "seen": None if after is None else after.revoked_since,
            "next_update": to_micros(revocation_list.next_update),
            "der": revocation_list.der,
        }
        statement = _CREATE_LIST if after is None else _REPLACE_LIST
        return bool(await self._database.execute(statement, values))


def _list_key(authority: str, version: int) -> Parameters:
    return {"authority_key": key_of(authority), "version": version}


def _issued_of(columns: Row) -> IssuedCertificate:
    serial, version, key_digest, not_after, revoked_at, reason, is_withdrawn, certificate, data = columns
    row = _codec.decode(data)
    revoked = None
    if revoked_at is not None:
        revoked = Revocation(at=from_micros(revoked_at), reason=RevocationReason(reason))
    return IssuedCertificate(
        ref=CertificateRef(serial_number=serial, thumbprint=row.thumbprint),
        registration_id=row.registration_id,
        authority=row.authority,
        version=version,
        policy=row.policy,
        key_digest=key_digest,
        subject=row.subject,
        certificate=certificate,
        not_before=row.not_before,
        not_after=from_micros(not_after),
        issued_at=row.issued_at,
        hub=row.hub,
        device_id=row.device_id,
        revocation=revoked,
        withdrawn=bool(is_withdrawn),
    )


def _place(after: str) -> tuple[int, str]:
    end, dash, serial = after.partition("-")
    if not (dash and end.isascii() and end.isdigit() and len(end) < 19 and serial.isalnum()):
        raise TokenError("The continuation token is not one of this server.")
    return int(end), serial
