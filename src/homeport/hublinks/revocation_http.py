"""Fetches CRLs and asks OCSP responders over HTTP, as `RevocationFetcher`."""

from homeport.net.http_client import AnswerTooLargeError, HttpClient, HttpClientError
from homeport.security.revocation import RevocationError

_OK = 200
_MOST = 16 * 1024 * 1024
_ANYTHING = {"Accept": "*/*"}


class HttpRevocationFetcher:
    """One pool of connections for all authorities; close it at the end. Nothing secret goes out with a request."""

    def __init__(self, *, max_answer: int = _MOST, seconds: float = 30.0) -> None:
        self._client = HttpClient(max_answer=max_answer, seconds=seconds, connections_per_host=8)

    async def get(self, url: str, *, limit: int, seconds: float) -> bytes:
        return await self._send("GET", url, None, "", limit, seconds)

    async def post(self, url: str, body: bytes, content_type: str, *, limit: int, seconds: float) -> bytes:
        return await self._send("POST", url, body, content_type, limit, seconds)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _send(
        self, method: str, url: str, body: bytes | None, content_type: str, limit: int, seconds: float
    ) -> bytes:
        try:
            answer = await self._client.request(
                method, url, headers=_ANYTHING, body=body, content_type=content_type, seconds=seconds
            )
        except AnswerTooLargeError as error:
            raise RevocationError(str(error)) from None
        except (HttpClientError, ValueError) as error:
            raise RevocationError(str(error) or "the address cannot be used") from None
        if answer.status != _OK:
            raise RevocationError(f"the server of the certificate authority answered with status {answer.status}")
        if len(answer.body) > limit:
            raise RevocationError(f"the answer is larger than {limit} bytes")
        return answer.body
