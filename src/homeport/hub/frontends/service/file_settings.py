from homeport.hub.frontends.service.resource import SERVICE, WRITE, Calls, call, call_with_body
from homeport.hub.service.file_settings import FileSettingsResponder


class FileSettingsResource:
    """`fileUpload`: where the hub keeps the files that devices upload; `fileUpload/writable`: to write them."""

    def __init__(self, settings: FileSettingsResponder) -> None:
        self._settings = settings

    def calls(self, segments: tuple[str, ...]) -> Calls:
        if tuple(segment.lower() for segment in segments) == ("fileupload", "writable"):
            return {"GET": call(WRITE, lambda request: self._settings.get(request.host, writable=True))}
        if segments != ("fileupload",):
            return {}
        return {
            "GET": call(SERVICE, lambda request: self._settings.get(request.host)),
            "PUT": call_with_body(
                WRITE, lambda request, body: self._settings.put(body, request.host, by=request.caller)
            ),
        }
