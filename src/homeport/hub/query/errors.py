from homeport.hub.errors import HubCode, HubError


class QueryError(HubError):
    """The text is no query; the message says what is wrong and where, counted in characters from 1."""

    def __init__(self, message: str) -> None:
        super().__init__(HubCode.ARGUMENT_INVALID, message)
