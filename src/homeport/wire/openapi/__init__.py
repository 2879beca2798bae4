"""The description of our HTTP APIs in OpenAPI 3.1, made of the structs that the server reads and writes."""

from homeport.wire.openapi.document import describe
from homeport.wire.openapi.operations import Operation
from homeport.wire.openapi.table import OPERATIONS

__all__ = ["OPERATIONS", "Operation", "describe"]
