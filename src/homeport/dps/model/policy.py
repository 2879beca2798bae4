"""A shared access policy as administrators keep it."""

from dataclasses import dataclass
from datetime import datetime

from homeport.security.policies import DpsRight, SharedAccessPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicy:
    """Named rights with two keys, and which version of them this is."""

    policy: SharedAccessPolicy[DpsRight]
    etag: str
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        return self.policy.name
