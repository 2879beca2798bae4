"""File upload of one hub, put together: uploads, what services are told of them, and the built-in store."""

import asyncio

from homeport.clock import Clock
from homeport.hub.file_ports import FileParts
from homeport.hub.file_uploads import FileUploads
from homeport.hub.notices import Notices, file_pace
from homeport.security.policies import Random


class Files:
    """What the front-ends of one hub need for files."""

    def __init__(self, hub: str, parts: FileParts, clock: Clock, random: Random) -> None:
        self.clock = clock
        self.storage = parts.storage
        self.container = parts.container
        self.transfer_container = parts.transfer_container
        self.uploads = FileUploads(hub=hub, store=parts.uploads, storage=parts.storage, clock=clock, random=random)
        self.notifications = Notices(hub=hub, store=parts.notifications, pace=file_pace, clock=clock, random=random)

    async def run(self) -> None:
        """Do what time brings, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.uploads.run())
            tasks.create_task(self.notifications.run())
            tasks.create_task(self.container.run())
