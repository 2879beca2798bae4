"""What OPEN says of either side (2.7.1): our limits, and the peer's as an event."""

from typing import Any

from homeport.proto.amqp.events import Open, Opened
from homeport.proto.amqp.limits import Limits


def open_values(command: Open, container_id: str, limits: Limits) -> tuple[Any, ...]:
    """Return the fields of our OPEN."""
    idle = limits.idle_time_out
    return (
        container_id,
        command.hostname,
        limits.max_frame_size,
        limits.channel_max,
        None if idle is None else round(idle * 1000),
        command.outgoing_locales,
        command.incoming_locales,
        command.offered_capabilities,
        command.desired_capabilities,
        command.properties,
    )


def opened(values: list[Any]) -> Opened:
    """Return the event of the peer's OPEN."""
    container_id, hostname, max_frame_size, channel_max, idle, outgoing, incoming, offered, desired, properties = values
    return Opened(
        container_id=container_id,
        hostname=hostname,
        max_frame_size=max_frame_size,
        channel_max=channel_max,
        idle_time_out=idle / 1000 if idle else None,
        outgoing_locales=outgoing,
        incoming_locales=incoming,
        offered_capabilities=offered,
        desired_capabilities=desired,
        properties=properties,
    )
