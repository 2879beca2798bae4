"""What devices say of files over HTTPS: bodies in, Reply out (contract hub.md 17.3)."""

from homeport.hub.errors import HubCode, HubError
from homeport.hub.file_uploads import FileUploads
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, read
from homeport.wire import hub_files as wire

MAX_BODY = 16 * 1024


class DeviceFiles:
    """Answers devices that upload files."""

    def __init__(self, uploads: FileUploads) -> None:
        self._uploads = uploads

    async def begin(self, target: str, body: bytes, *, host: str) -> Reply:
        """Tell a device where to put a blob. Raises HubError."""
        wanted = read(wire.request_decoder, body, MAX_BODY)
        ticket = await self._uploads.begin(target, wanted.blob_name, host=host)
        return answer(
            wire.UploadAnswer(
                correlation_id=ticket.correlation_id,
                host_name=ticket.host_name,
                container_name=ticket.container,
                blob_name=ticket.blob_name,
                sas_token=ticket.sas_token,
            )
        )

    async def end(self, target: str, body: bytes, correlation_id: str) -> Reply:
        """Take note of an upload's end; `correlation_id` is the path's, empty if it has none. Raises HubError."""
        said = read(wire.end_decoder, body, MAX_BODY)
        correlation_id = correlation_id or said.correlation_id or ""
        if not correlation_id:
            raise HubError(HubCode.INVALID_CORRELATION_ID, "correlationId is missing.")
        success = said.is_success
        if success is None:
            raise HubError(HubCode.ARGUMENT_INVALID, "isSuccess is missing.")
        await self._uploads.complete(target, correlation_id, success=success)
        return Reply(status=204)
