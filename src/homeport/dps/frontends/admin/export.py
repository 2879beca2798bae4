from homeport.dps.administration.export import ExportResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

# What returns secrets needs the right to write them, like the attestation mechanism calls (contract dps.md 2.5).
_WRITE = DpsRight.ENROLLMENT_WRITE


class ExportResource:
    """`export/enrollments` and `export/enrollmentGroups`."""

    collections = frozenset({"export"})

    def __init__(self, responder: ExportResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, tracking_id = self._responder, request.tracking_id
        match request.path:
            case ["export", noun] if noun.lower() == "enrollments":
                return {"GET": (_WRITE, lambda: responder.individuals(request.paging(), tracking_id))}
            case ["export", noun] if noun.lower() == "enrollmentgroups":
                return {"GET": (_WRITE, lambda: responder.groups(request.paging(), tracking_id))}
            case _:
                return {}
