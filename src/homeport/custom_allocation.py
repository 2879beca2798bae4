"""For users: the types of a custom allocation function, which a server runs with `--allocation-module`.

```python
from homeport.custom_allocation import AllocationRequest, AllocationResponse


def allocate(request: AllocationRequest) -> AllocationResponse:
    return AllocationResponse(iot_hub_host_name=request.linked_hubs[0])
```

The function may be `async`. It runs in a thread of its own and has five seconds; `TryAgainError` puts the question
off, any other exception fails the registration, and both are shown by `homeport why`.
"""

import msgspec

from homeport.wire.custom_allocation import (
    AllocationRequest,
    AllocationResponse,
    DeviceRuntimeContext,
)

__all__ = ["AllocationRequest", "AllocationResponse", "DeviceRuntimeContext", "TryAgainError", "payload_of"]


class TryAgainError(Exception):
    """The question cannot be answered now; it is put again as after a webhook's 503. The text is for the operator."""


def payload_of(request: AllocationRequest) -> object:
    """Return the JSON value the device sent along, None if there is none."""
    payload = request.device_runtime_context.payload
    return None if isinstance(payload, msgspec.UnsetType) else msgspec.json.decode(payload)
