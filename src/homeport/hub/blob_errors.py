"""The refusals of the built-in blob store, in Azure Storage's words."""

from enum import Enum


class BlobCode(Enum):
    """HTTP status and the code that storage SDKs match on."""

    INVALID_URI = (400, "InvalidUri")
    INVALID_BLOCK_ID = (400, "InvalidBlockId")
    INVALID_BLOCK_LIST = (400, "InvalidBlockList")
    INVALID_HEADER = (400, "InvalidHeaderValue")
    INVALID_QUERY = (400, "InvalidQueryParameterValue")
    INVALID_XML = (400, "InvalidXmlDocument")
    MD5_MISMATCH = (400, "Md5Mismatch")
    BLOCK_COUNT = (409, "BlockCountExceedsLimit")
    AUTHENTICATION_FAILED = (403, "AuthenticationFailed")
    BLOB_NOT_FOUND = (404, "BlobNotFound")
    RESOURCE_NOT_FOUND = (404, "ResourceNotFound")
    UNSUPPORTED = (405, "UnsupportedHttpVerb")
    BLOB_ALREADY_EXISTS = (409, "BlobAlreadyExists")
    CONDITION_NOT_MET = (412, "ConditionNotMet")
    TOO_LARGE = (413, "RequestBodyTooLarge")
    INVALID_RANGE = (416, "InvalidRange")
    INTERNAL = (500, "InternalError")
    SERVER_BUSY = (503, "ServerBusy")

    def __init__(self, status: int, wire_name: str) -> None:
        self.status = status
        self.wire_name = wire_name


class BlobError(Exception):
    """A refusal that an uploading device, or a reader, must be able to tell apart; `message` holds no secret."""

    def __init__(self, code: BlobCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
