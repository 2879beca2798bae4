"""Allocation: its settings, the key webhooks are signed with, why a device would go where, what would move if."""

import base64

from msgspec import UnsetType

from homeport.dps.allocation_service import AllocationService
from homeport.dps.identifiers import check_registration_id
from homeport.dps.reply import Reply, success
from homeport.dps.service_responder import Paging, read
from homeport.dps.signing_keys import SigningKeys, SigningKeyService
from homeport.dps.translate_allocation_admin import (
    changes_of,
    comparison_document,
    explanation_document,
    settings_document,
    settings_of,
)
from homeport.dps.what_if import WhatIf
from homeport.paging import encode_token
from homeport.security.callers import Caller
from homeport.wire import dps_allocation as wire


class AllocationResponder:
    def __init__(self, service: AllocationService, what_if: WhatIf, keys: SigningKeyService) -> None:
        self._service = service
        self._what_if = what_if
        self._keys = keys

    async def settings(self, tracking_id: str) -> Reply:
        return success(200, settings_document(await self._service.settings()), tracking_id)

    async def put_settings(self, body: bytes, by: Caller) -> Reply:
        settings = await self._service.put_settings(settings_of(read(wire.settings, body)), by=by)
        return success(200, settings_document(settings), by.tracking_id)

    async def explain(self, body: bytes, tracking_id: str) -> Reply:
        """Answer with the decision for one device, which is not carried out."""
        document = read(wire.explain_request, body)
        registration_id = check_registration_id(document.registration_id)
        group, address = document.enrollment_group_id, document.remote_address
        prediction = await self._service.predict(
            registration_id,
            group_id=None if isinstance(group, UnsetType) else group,
            payload=bytes(document.payload) or None,
            address=None if isinstance(address, UnsetType) else address,
        )
        return success(200, explanation_document(prediction, registration_id), tracking_id)

    async def what_if(self, body: bytes, paging: Paging, tracking_id: str) -> Reply:
        """Answer for one part of the registrations; the page size is how many are examined."""
        changes = changes_of(read(wire.what_if_request, body))
        # A continuation goes with the changes it was given for.
        part = f"what-if {body.decode(errors='replace')}"
        comparison = await self._what_if.compare(changes, after=paging.after(part), limit=paging.limit)
        reply = success(200, comparison_document(comparison), tracking_id)
        if comparison.next_key is None:
            return reply
        token = encode_token(comparison.next_key, part)
        return Reply(
            status=reply.status, body=reply.body, tracking_id=tracking_id, headers={"x-ms-continuation": token}
        )

    async def signing_keys(self, tracking_id: str) -> Reply:
        return success(200, _keys_document(await self._keys.get()), tracking_id)

    async def rotate_signing_keys(self, by: Caller) -> Reply:
        return success(200, _keys_document(await self._keys.rotate(by=by)), by.tracking_id)


def _keys_document(keys: SigningKeys) -> wire.SigningKeys:
    return wire.SigningKeys(
        primary_key=base64.b64encode(keys.primary).decode("ascii"),
        secondary_key=base64.b64encode(keys.secondary).decode("ascii"),
    )
