"""A shared access policy as administrators keep it."""

from datetime import datetime

from msgspec import Struct

from homeport.security.policies import DpsRight, SharedAccessPolicy


class AccessPolicy(Struct, frozen=True, kw_only=True):
    """Named rights with two keys, and which version of them this is."""

    policy: SharedAccessPolicy[DpsRight]
    etag: str
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        return self.policy.name
