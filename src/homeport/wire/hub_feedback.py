"""Delivery feedback exactly as services read it (contract hub.md 18.3)."""

from homeport.wire import WireStruct

FEEDBACK_TYPE = "application/vnd.microsoft.iothub.feedback.json"
FILE_NOTIFICATION_TYPE = "application/vnd.microsoft.iothub.filenotification.json"


class FeedbackRecord(WireStruct, frozen=True, kw_only=True):
    """`description` repeats `statusCode`: C reads only the former."""

    original_message_id: str
    description: str
    status_code: str
    device_generation_id: str
    device_id: str
    enqueued_time_utc: str
