"""The hub's query language: read, judged, and answered row by row (contract hub.md 8.2). Pure.

The same expressions, with more functions, are the conditions of message routes.
"""

from homeport.hub.query.errors import QueryError
from homeport.hub.query.evaluate import holds, value_of
from homeport.hub.query.functions import ROUTE_FUNCTIONS
from homeport.hub.query.named import attributes_of, named_devices, named_values, renamed
from homeport.hub.query.necessary import necessary
from homeport.hub.query.parser import parse, parse_condition
from homeport.hub.query.rows import Aggregation, project
from homeport.hub.query.syntax import Query, Source
from homeport.hub.query.values import UNDEFINED

__all__ = [
    "ROUTE_FUNCTIONS",
    "UNDEFINED",
    "Aggregation",
    "Query",
    "QueryError",
    "Source",
    "attributes_of",
    "holds",
    "named_devices",
    "named_values",
    "necessary",
    "parse",
    "parse_condition",
    "project",
    "renamed",
    "value_of",
]
