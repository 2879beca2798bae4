"""Feedback and file notifications as documents, one for each batch, for whatever carries them."""

from homeport.hub.identifiers import device_of
from homeport.hub.model import FeedbackRecord, FileNotification, format_time
from homeport.hub.notices import Batch
from homeport.wire import encode, hub_feedback, hub_files


def feedback_document(batch: Batch[FeedbackRecord]) -> bytes:
    """Write a batch of feedback as a JSON array."""
    return encode(
        [
            hub_feedback.FeedbackRecord(
                original_message_id=record.feedback.message_id,
                description=record.feedback.status.value,
                status_code=record.feedback.status.value,
                device_generation_id=record.generation_id,
                device_id=device_of(record.target),
                enqueued_time_utc=format_time(record.feedback.at),
            )
            for record in batch.notices
        ]
    )


def file_document(batch: Batch[FileNotification]) -> bytes:
    """Write a notification of a file as a JSON object."""
    (told,) = batch.notices
    return encode(
        hub_files.FileNotification(
            device_id=told.device_id,
            blob_uri=told.blob_uri,
            blob_name=told.blob_name,
            last_updated_time=format_time(told.last_updated_at),
            blob_size_in_bytes=told.size,
            enqueued_time_utc=format_time(told.enqueued_at),
        )
    )
