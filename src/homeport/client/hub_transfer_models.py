"""Imports and exports of a hub's registry as Python values (contract hub.md 10)."""

from datetime import datetime

import msgspec


class TransferJob(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """An import or export; the containers' addresses, which hold signatures, are never told again."""

    job_id: str
    type: str
    """`import` or `export`."""
    status: str
    """`enqueued`, `running`, `completed`, `failed` or `cancelled`."""
    progress: int = 0
    """Per cent."""
    start_time_utc: datetime | None = None
    end_time_utc: datetime | None = None
    input_blob_name: str | None = None
    output_blob_name: str | None = None
    exclude_keys_in_export: bool = False
    include_configurations: bool = False
    failure_reason: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.status in {"completed", "failed", "cancelled"}
