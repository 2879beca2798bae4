from typing import Any

from homeport.hub.frontends.service.resource import SERVICE, Calls, call
from homeport.hub.message_lock import Settlement
from homeport.hub.service import Service
from homeport.hub.service.notices import NoticesResponder


class NoticesResource:
    """`messages/serviceBound/feedback` and `…/filenotifications`: take, complete, reject, abandon."""

    def __init__(self, service: Service) -> None:
        self._by_name: dict[str, NoticesResponder[Any]] = {
            "feedback": service.feedback,
            "filenotifications": service.file_notifications,
            "fileuploadnotifications": service.file_notifications,
        }

    def calls(self, segments: tuple[str, ...]) -> Calls:
        match segments:
            case ("messages", bound, name, *rest) if bound.lower() == "servicebound":
                notices = self._by_name.get(name.lower())
            case _:
                return {}
        if notices is None:
            return {}
        match rest:
            case []:
                return {"GET": call(SERVICE, lambda _: notices.take())}
            case [token]:
                return {
                    "DELETE": call(
                        SERVICE,
                        lambda request: notices.settle(
                            token,
                            Settlement.COMPLETE if request.parameter("reject") is None else Settlement.REJECT,
                        ),
                    )
                }
            case [token, word] if word.lower() == "abandon":
                return {"POST": call(SERVICE, lambda _: notices.settle(token, Settlement.ABANDON))}
            case _:
                return {}
