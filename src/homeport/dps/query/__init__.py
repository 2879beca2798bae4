"""The query texts of the service API (contract dps.md 8.6): read, judged, and turned into a walk over the store.

Everything here is pure. What may be asked is in docs/reference/queries.md.
"""

from homeport.dps.query.evaluate import matches
from homeport.dps.query.fields import GROUPS, INDIVIDUALS, REGISTRATIONS, EnrolledDevice, Schema
from homeport.dps.query.parser import continued_as, parse_query
from homeport.dps.query.syntax import Query
from homeport.dps.query.walks import choose_walk, names_registration

__all__ = [
    "GROUPS",
    "INDIVIDUALS",
    "REGISTRATIONS",
    "EnrolledDevice",
    "Query",
    "Schema",
    "choose_walk",
    "continued_as",
    "matches",
    "names_registration",
    "parse_query",
]
