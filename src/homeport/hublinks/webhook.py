"""Custom allocation over a webhook: one signed request, and what its outcome means (contract dps.md 9.3).

Retries are the assigner's: what may succeed later is told from what will not.
"""

from collections.abc import Awaitable, Callable, Sequence

from homeport.clock import Clock
from homeport.dps.model import CustomAllocation, webhook_problem
from homeport.dps.ports import AllocationRefusedError, AllocationUnavailableError
from homeport.net.http_client import AnswerTooLargeError, HttpClient, HttpUnreachableError
from homeport.security.webhook_signature import SIGNATURE_HEADER, sign

QUESTION_HEADER = "Homeport-Operation-Id"
"""The same in every try at one question, so that a receiver can tell a repetition."""

SigningKeys = Callable[[], Awaitable[Sequence[bytes]]]
"""Returns the keys in force; asked for every request, since operators rotate them."""


class WebhookAllocator:
    """Asks webhooks. `http` has the time and size limits."""

    def __init__(self, http: HttpClient, keys: SigningKeys, clock: Clock) -> None:
        self._http = http
        self._keys = keys
        self._clock = clock

    async def ask(self, definition: CustomAllocation, request: bytes, *, question_id: str) -> bytes:
        # Stored by an older version, it may not have been checked.
        if (problem := webhook_problem(definition.webhook_url)) is not None:
            raise AllocationRefusedError(f"the webhook's URL {problem}")
        signature = sign(request, await self._keys(), int(self._clock.now().timestamp()))
        try:
            answer = await self._http.request(
                "POST",
                definition.webhook_url,
                headers={SIGNATURE_HEADER: signature, QUESTION_HEADER: question_id},
                body=request,
            )
        except AnswerTooLargeError as error:
            raise AllocationRefusedError(str(error)) from error
        except HttpUnreachableError as error:
            raise AllocationUnavailableError(str(error)) from error
        except ValueError as error:
            raise AllocationRefusedError("the webhook's URL cannot be used") from error
        match answer.status:
            case 200:
                return answer.body
            case 401:
                raise AllocationRefusedError("the webhook answered 401", unauthorized=True)
            case status if status >= 429:
                raise AllocationUnavailableError(f"the webhook answered {status}")
            case status if 300 <= status < 400:
                raise AllocationRefusedError(f"the webhook answered {status}: redirects are not followed")
            case status:
                raise AllocationRefusedError(f"the webhook answered {status}")
