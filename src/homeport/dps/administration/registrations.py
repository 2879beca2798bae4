"""The registrations of all devices, whatever group they came through."""

from homeport.dps.enrollments import EnrollmentService
from homeport.dps.listing import Paging, listing
from homeport.dps.query import REGISTRATIONS, continued_as
from homeport.dps.reply import Reply
from homeport.dps.translate_service import registration_document


class RegistrationsResponder:
    def __init__(self, enrollments: EnrollmentService) -> None:
        self._search = enrollments.search

    async def list(self, query: str, paging: Paging, tracking_id: str) -> Reply:
        """Answer with a page of those that the query asks for; an empty query asks for all."""
        name = f"all registrations {continued_as(query, REGISTRATIONS)}"
        page = await self._search.registrations(query, group_id=None, after=paging.after(name), limit=paging.limit)
        documents = [registration_document(item) for item in page.items]
        return listing(page, documents, name, tracking_id, item_type="DeviceRegistration")
