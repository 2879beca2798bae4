"""A storage account of Azure, or of something that speaks its protocol, as a hub's BlobStorage."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from homeport.clock import Clock
from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import FoundBlob, UploadPlace
from homeport.net.http_client import HttpClient, HttpClientError
from homeport.security.blob_sas import VERSION, StorageAccount, sign

_LOOK_LIFE = timedelta(minutes=5)
_CLOCK_SKEW = timedelta(minutes=5)


class AccountStorage:
    """BlobStorage over one container of an account, which must exist."""

    def __init__(self, account: StorageAccount, container: str, http: HttpClient, clock: Clock) -> None:
        self._account = account
        self._container = container
        self._http = http
        self._clock = clock

    @property
    def kind(self) -> str:
        return f"{self._account.endpoint}/{self._container}"

    def container_url(self, *, host: str, start: datetime, end: datetime, writable: bool = False) -> str:
        del host
        letters = "rcwdl" if writable else "rdl"
        return f"{self.kind}?{sign(self._account, self._container, None, permissions=letters, start=start, end=end)}"

    def place(self, blob_name: str, *, host: str, start: datetime, end: datetime) -> UploadPlace:
        del host
        token = sign(self._account, self._container, blob_name, permissions="rw", start=start - _CLOCK_SKEW, end=end)
        return UploadPlace(host_name=self._account.place, container=self._container, sas_token=f"?{token}")

    async def find(self, blob_name: str) -> FoundBlob | None:
        now = self._clock.now()
        token = sign(
            self._account,
            self._container,
            blob_name,
            permissions="r",
            start=now - _CLOCK_SKEW,
            end=now + _LOOK_LIFE,
        )
        url = f"{self._account.endpoint}/{self._container}/{quote(blob_name)}?{token}"
        try:
            answer = await self._http.request("HEAD", url, headers={"x-ms-version": VERSION})
        except HttpClientError as error:
            raise HubError(HubCode.SERVICE_UNAVAILABLE, f"The storage cannot be asked: {error}.") from error
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise HubError(HubCode.SERVICE_UNAVAILABLE, f"The storage answered with status {answer.status}.")
        try:
            size = int(answer.headers.get("Content-Length", ""))
            modified = parsedate_to_datetime(answer.headers.get("Last-Modified", "")).astimezone(UTC)
        except ValueError:
            raise HubError(HubCode.SERVICE_UNAVAILABLE, "The storage does not speak Azure's protocol.") from None
        return FoundBlob(size=size, last_modified=modified)

    async def put(self, blob_name: str, content: bytes, content_type: str) -> None:
        now = self._clock.now()
        token = sign(
            self._account,
            self._container,
            blob_name,
            permissions="cw",
            start=now - _CLOCK_SKEW,
            end=now + _LOOK_LIFE,
        )
        url = f"{self._account.endpoint}/{self._container}/{quote(blob_name)}?{token}"
        headers = {"x-ms-version": VERSION, "x-ms-blob-type": "BlockBlob", "Content-Type": content_type}
        try:
            answer = await self._http.request("PUT", url, headers=headers, body=content)
        except HttpClientError as error:
            raise HubError(HubCode.SERVICE_UNAVAILABLE, f"The storage cannot be asked: {error}.") from error
        if answer.status != 201:
            raise HubError(HubCode.SERVICE_UNAVAILABLE, f"The storage answered with status {answer.status}.")
