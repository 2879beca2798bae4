"""Import and export jobs (contract hub.md 10)."""

from typing import Final

from msgspec import UNSET

from homeport.hub.errors import HubCode, HubError
from homeport.hub.file_uploads import checked_name
from homeport.hub.model import NEVER, Transfer, TransferKind, format_time
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, read
from homeport.hub.transfers import Transfers
from homeport.security.policies import Random
from homeport.wire import hub_transfers as wire

_DEVICES: Final = "devices.txt"
_CONFIGURATIONS: Final = "configurations.txt"
_ID_BYTES = 16


class TransfersResponder:
    def __init__(self, transfers: Transfers, random: Random) -> None:
        self._transfers = transfers
        self._random = random

    async def create(self, body: bytes) -> Reply:
        transfer = _read(self._random(_ID_BYTES).hex(), read(wire.job_decoder, body))
        return answer(_document(await self._transfers.create(transfer)))

    async def list(self) -> Reply:
        return answer([_document(each) for each in await self._transfers.all()])

    async def get(self, job_id: str) -> Reply:
        return answer(_document(await self._transfers.get(job_id)))

    async def cancel(self, job_id: str) -> Reply:
        await self._transfers.cancel(job_id)
        return Reply(status=204)


def _read(job_id: str, document: wire.JobRequest) -> Transfer:
    try:
        kind = TransferKind(document.type.lower())
    except ValueError:
        raise _invalid("type is neither import nor export.") from None
    if (document.storage_authentication_type or "keyBased").lower() != "keybased":
        raise _invalid("storageAuthenticationType: only keyBased is offered, the container's URI with its signature.")
    if not document.output_blob_container_uri:
        raise _invalid("outputBlobContainerUri is missing.")
    if kind is TransferKind.IMPORT and not document.input_blob_container_uri:
        raise _invalid("inputBlobContainerUri is missing.")
    return Transfer(
        job_id=job_id,
        kind=kind,
        created_at=NEVER,
        input_container=document.input_blob_container_uri if kind is TransferKind.IMPORT else None,
        input_blob=checked_name(document.input_blob_name or _DEVICES),
        output_container=document.output_blob_container_uri,
        output_blob=checked_name(document.output_blob_name or _DEVICES),
        exclude_keys=document.exclude_keys_in_export or False,
        include_configurations=document.include_configurations or False,
        configurations_blob=checked_name(document.configurations_blob_name or _CONFIGURATIONS),
    )


def _document(transfer: Transfer) -> wire.JobProperties:
    is_import = transfer.kind is TransferKind.IMPORT
    return wire.JobProperties(
        job_id=transfer.job_id,
        start_time_utc=format_time(transfer.created_at),
        end_time_utc=UNSET if transfer.ended_at is None else format_time(transfer.ended_at),
        type=transfer.kind.value,
        status=transfer.status.value,
        progress=transfer.progress,
        input_blob_name=transfer.input_blob if is_import else UNSET,
        output_blob_name=UNSET if is_import else transfer.output_blob,
        exclude_keys_in_export=transfer.exclude_keys,
        storage_authentication_type="keyBased",
        include_configurations=transfer.include_configurations,
        configurations_blob_name=transfer.configurations_blob if transfer.include_configurations else UNSET,
        failure_reason=transfer.failure or UNSET,
    )


def _invalid(message: str) -> HubError:
    return HubError(HubCode.ARGUMENT_INVALID, message)
