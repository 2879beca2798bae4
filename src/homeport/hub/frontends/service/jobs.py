from homeport.hub.frontends.service.resource import SERVICE, Calls, call, call_with_body
from homeport.hub.service.jobs import MAX_JOB_BODY, JobsResponder


class JobsResource:
    """`jobs/v2/{id}`, `jobs/v2/{id}/cancel` and `jobs/v2/query`."""

    def __init__(self, jobs: JobsResponder) -> None:
        self._jobs = jobs

    def calls(self, segments: tuple[str, ...]) -> Calls:
        jobs = self._jobs
        match segments:
            case ("jobs", version, word) if version.lower() == "v2" and word.lower() == "query":
                return {
                    "GET": call(
                        SERVICE,
                        lambda request: jobs.list(
                            job_type=request.parameter("jobtype"),
                            status=request.parameter("jobstatus"),
                            max_items=request.header("x-ms-max-item-count"),
                            continuation=request.header("x-ms-continuation"),
                        ),
                    )
                }
            case ("jobs", version, job_id) if version.lower() == "v2":
                return {
                    "GET": call(SERVICE, lambda _: jobs.get(job_id)),
                    "PUT": call_with_body(SERVICE, lambda _, body: jobs.create(job_id, body), MAX_JOB_BODY),
                }
            case ("jobs", version, job_id, word) if version.lower() == "v2" and word.lower() == "cancel":
                return {"POST": call(SERVICE, lambda _: jobs.cancel(job_id))}
            case _:
                return {}
