"""The registrations of all devices, whatever group they came through."""

from homeport.dps.enrollments import EnrollmentService
from homeport.dps.reply import Reply
from homeport.dps.service_responder import Paging, listing
from homeport.dps.translate_service import registration_document


class RegistrationsResponder:
    def __init__(self, enrollments: EnrollmentService) -> None:
        self._enrollments = enrollments

    async def list(self, paging: Paging, tracking_id: str) -> Reply:
        """Answer with a page, in id order."""
        name = "all registrations"
        page = await self._enrollments.page_registrations(group_id=None, after=paging.after(name), limit=paging.limit)
        return listing(page, [registration_document(item) for item in page.items], name, tracking_id)
