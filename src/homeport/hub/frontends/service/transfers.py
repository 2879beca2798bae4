from homeport.hub.frontends.service.resource import READ, WRITE, Calls, call, call_with_body
from homeport.hub.service.transfers import TransfersResponder


class TransfersResource:
    """`jobs`, `jobs/create` and `jobs/{id}`: imports and exports."""

    def __init__(self, transfers: TransfersResponder) -> None:
        self._transfers = transfers

    def calls(self, segments: tuple[str, ...]) -> Calls:
        transfers = self._transfers
        match segments:
            case ("jobs",):
                return {"GET": call(READ, lambda _: transfers.list())}
            case ("jobs", word) if word.lower() == "create":
                return {"POST": call_with_body(WRITE, lambda _, body: transfers.create(body))}
            case ("jobs", job_id):
                return {
                    "GET": call(READ, lambda _: transfers.get(job_id)),
                    "DELETE": call(WRITE, lambda _: transfers.cancel(job_id)),
                }
            case _:
                return {}
