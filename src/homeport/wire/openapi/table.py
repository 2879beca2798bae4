"""All operations that are described. Streams are not: live events, health and metrics are told of in the reference."""

from homeport.wire.openapi.administration import ADMINISTRATION
from homeport.wire.openapi.faults import FAULTS
from homeport.wire.openapi.issuing import ISSUING
from homeport.wire.openapi.operations import DEVICES_AND_ENROLLMENTS, Operation

OPERATIONS: tuple[Operation, ...] = (*DEVICES_AND_ENROLLMENTS, *ADMINISTRATION, *ISSUING, *FAULTS)
