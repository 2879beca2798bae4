"""`homeport hub messages`: how a hub keeps cloud-to-device messages, and feedback about them."""

from datetime import timedelta
from typing import Annotated, TypeVar

import typer
from msgspec import UNSET, UnsetType
from rich.markup import escape

from homeport.cli.console import DataOption, admin, out
from homeport.client.hub_admin_models import CloudToDeviceChanges, FeedbackChanges

T = TypeVar("T")


def messages(
    name: Annotated[str, typer.Argument(help="Name of the hub.")],
    data: DataOption = None,
    life: Annotated[
        int | None, typer.Option("--life", min=60, max=172800, help="Seconds a message waits that names no expiry.")
    ] = None,
    deliveries: Annotated[
        int | None, typer.Option("--deliveries", min=1, max=100, help="How often a message is delivered at most.")
    ] = None,
    lock: Annotated[
        int | None, typer.Option("--lock", min=5, max=300, help="Seconds a device has to settle a message.")
    ] = None,
    feedback_life: Annotated[
        int | None, typer.Option("--feedback-life", min=60, max=172800, help="Seconds feedback waits for a service.")
    ] = None,
    feedback_deliveries: Annotated[
        int | None, typer.Option("--feedback-deliveries", min=1, max=100, help="How often feedback is given out.")
    ] = None,
    feedback_lock: Annotated[
        int | None, typer.Option("--feedback-lock", min=5, max=300, help="Seconds a service has to settle feedback.")
    ] = None,
) -> None:
    """Show or change how a hub keeps messages to devices, and feedback about them."""
    feedback = FeedbackChanges(
        lock_duration_as_iso8601=_seconds(feedback_lock),
        ttl_as_iso8601=_seconds(feedback_life),
        max_delivery_count=_given(feedback_deliveries),
    )
    changes = CloudToDeviceChanges(
        default_ttl_as_iso8601=_seconds(life),
        max_delivery_count=_given(deliveries),
        lock_duration_as_iso8601=_seconds(lock),
        feedback=UNSET if feedback == FeedbackChanges() else feedback,
    )
    with admin(data) as client:
        if changes == CloudToDeviceChanges():
            told = client.cloud_to_device_settings(name)
        else:
            told = client.set_cloud_to_device(name, changes)
    out.print(
        f"Hub [bold]{escape(name)}[/] keeps a message for {_text(told.default_ttl_as_iso8601)} unless it says "
        f"otherwise, delivers it at most {told.max_delivery_count} times, and gives a device "
        f"{_text(told.lock_duration_as_iso8601)} to settle it.",
        soft_wrap=True,
    )
    about = told.feedback
    out.print(
        f"Feedback waits {_text(about.ttl_as_iso8601)}, is given out at most {about.max_delivery_count} times, and a "
        f"service has {_text(about.lock_duration_as_iso8601)} to settle it.",
        soft_wrap=True,
    )


def _given(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


def _seconds(value: int | None) -> timedelta | UnsetType:
    return UNSET if value is None else timedelta(seconds=value)


def _text(life: timedelta) -> str:
    return f"{int(life.total_seconds())} s"
