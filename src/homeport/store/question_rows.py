"""How hub identities, and open questions to custom allocation, are kept inside an operation's row."""

from typing import assert_never

from msgspec import Struct

from homeport.dps.model import (
    CustomAllocation,
    HubCredential,
    Question,
    ReprovisionPolicy,
    SasCredential,
    Terms,
    ThumbprintCredential,
    TpmKeys,
    TwinContent,
)


class SasRow(Struct, tag="sas"):
    primary_key: bytes
    secondary_key: bytes


class ThumbprintRow(Struct, tag="thumbprint"):
    primary: str
    secondary: str


class TpmRow(Struct, tag="tpm"):
    endorsement_key: bytes
    storage_root_key: bytes


class QuestionRow(Struct, kw_only=True, omit_defaults=True):
    definition: CustomAllocation
    request: bytes
    offered: tuple[str, ...]
    device_id: str
    identity: SasRow | ThumbprintRow | TpmRow
    iot_edge: bool | None = None
    initial_twin: TwinContent
    policy: ReprovisionPolicy | None = None
    api_version: str


def question_row(question: Question) -> QuestionRow:
    terms = question.terms
    identity = terms.identity
    return QuestionRow(
        definition=question.definition,
        request=question.request,
        offered=question.offered,
        device_id=terms.device_id,
        identity=(
            TpmRow(identity.endorsement_key, identity.storage_root_key)
            if isinstance(identity, TpmKeys)
            else credential_row(identity)
        ),
        iot_edge=terms.iot_edge,
        initial_twin=terms.initial_twin,
        policy=terms.policy,
        api_version=terms.api_version,
    )


def question_of(row: QuestionRow) -> Question:
    identity = row.identity
    return Question(
        definition=row.definition,
        request=row.request,
        offered=row.offered,
        terms=Terms(
            device_id=row.device_id,
            identity=(
                TpmKeys(endorsement_key=identity.endorsement_key, storage_root_key=identity.storage_root_key)
                if isinstance(identity, TpmRow)
                else credential_of(identity)
            ),
            iot_edge=row.iot_edge,
            initial_twin=row.initial_twin,
            policy=row.policy,
            api_version=row.api_version,
        ),
    )


def credential_row(credential: HubCredential) -> SasRow | ThumbprintRow:
    match credential:
        case SasCredential(primary_key=primary_key, secondary_key=secondary_key):
            return SasRow(primary_key, secondary_key)
        case ThumbprintCredential(primary=primary, secondary=secondary):
            return ThumbprintRow(primary, secondary)
        case _:
            assert_never(credential)


def credential_of(row: SasRow | ThumbprintRow) -> HubCredential:
    match row:
        case SasRow():
            return SasCredential(primary_key=row.primary_key, secondary_key=row.secondary_key)
        case ThumbprintRow():
            return ThumbprintCredential(primary=row.primary, secondary=row.secondary)
        case _:
            assert_never(row)
