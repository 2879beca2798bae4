"""A hub as a site: its names and the front-ends that answer there."""

from homeport.clock import Clock
from homeport.hub.frontends.amqp import DeviceSpace, EventSide, EventSpace, HubAmqpFrontEnd, ServiceSpace
from homeport.hub.frontends.blobs import BlobFrontEnd
from homeport.hub.frontends.device_http import DeviceHttpFrontEnd
from homeport.hub.frontends.mqtt import DeviceFrontEnd
from homeport.hub.frontends.service import MAX_REQUEST_BODY, ServiceFrontEnd
from homeport.hub.served_hub import ServedHub
from homeport.net.screening import Screen
from homeport.net.sites import HttpFrontEnd, Site
from homeport.security.ip_filter import Door


def hub_site(
    served: ServedHub, clock: Clock, *, http: tuple[HttpFrontEnd, ...] = (), screen: Screen | None = None
) -> Site:
    """Make the site of one hub; `http` are further front-ends under the same names. `screen` is the IP filter."""
    screen = screen or Screen()
    service = ServiceFrontEnd(hub=served.name, audience=served.audience, service=served.service, clock=clock)
    device = DeviceFrontEnd(served.device_side)
    events = EventSide(hosts=lambda: served.hub.host_names, streams=served.streams, clock=clock)
    spaces = (DeviceSpace(served.device_side), ServiceSpace(served.service_side), EventSpace(events))
    amqp = HubAmqpFrontEnd(served.device_side, spaces=spaces, allows=screen.allows)
    screen.watch(amqp.turn_out)
    blobs = BlobFrontEnd(
        hub=served.name, settings=served.files.uploads.settings, container=served.files.container, clock=clock
    )
    return Site(
        names=frozenset(served.hub.host_names),
        http=(
            screen.http(service, Door.SERVICE),
            screen.http(DeviceHttpFrontEnd(served.device_side), Door.DEVICES),
            screen.http(blobs, Door.DEVICES),
            *(screen.http(front_end, Door.SERVICE) for front_end in http),
        ),
        mqtt=(screen.mqtt(device),),
        amqp=(amqp,),  # it looks at each link: devices and services share connections
        max_body=MAX_REQUEST_BODY,
    )
