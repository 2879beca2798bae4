"""Puts custom allocation together: webhooks over HTTP, and the functions this server was started with."""

from homeport.app.allocation_functions import Allocators, FunctionAllocator, FunctionError, load_functions
from homeport.app.config import Config
from homeport.clock import Clock
from homeport.dps.asking import TRY_SECONDS
from homeport.dps.signing_keys import SigningKeyService
from homeport.dps.translate_allocation import MAX_ANSWER_BYTES
from homeport.hublinks.webhook import WebhookAllocator
from homeport.net.http_client import HttpClient


class CustomAllocationError(Exception):
    """Custom allocation cannot be set up as configured; the text says why."""


def custom_allocators(config: Config, keys: SigningKeyService, clock: Clock) -> tuple[Allocators, HttpClient]:
    """Return who answers questions, and the HTTP client to close at the end. Raises CustomAllocationError."""
    try:
        functions = load_functions(config.allocation_module)
        trusted = config.webhook_ca_file.read_text() if config.webhook_ca_file else None
        http = HttpClient(ca_pem=trusted, seconds=TRY_SECONDS, max_answer=MAX_ANSWER_BYTES)
    except FunctionError as error:
        raise CustomAllocationError(f"allocation_module: {error}") from error
    except (OSError, ValueError) as error:
        raise CustomAllocationError(f"webhook_ca_file: {error}") from error

    async def in_force() -> tuple[bytes, bytes]:
        current = await keys.get()
        return current.primary, current.secondary

    return Allocators(webhooks=WebhookAllocator(http, in_force, clock), functions=FunctionAllocator(functions)), http
