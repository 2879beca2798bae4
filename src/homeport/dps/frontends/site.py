"""A provisioning service as a site: its names and the front-ends that answer there."""

from collections.abc import Sequence

from homeport.clock import Clock
from homeport.dps.admission import Admission
from homeport.dps.frontends.admin import AdminFrontEnd, AdminResource
from homeport.dps.frontends.amqp import DeviceAmqpFrontEnd
from homeport.dps.frontends.authorization import Authorization, FindAdministrator, Policies
from homeport.dps.frontends.events import EventsFrontEnd
from homeport.dps.frontends.http_device import DeviceFrontEnd
from homeport.dps.frontends.http_service import ServiceFrontEnd
from homeport.dps.frontends.mqtt import DeviceMqttFrontEnd
from homeport.dps.journal import Journal
from homeport.dps.responder import DeviceResponder
from homeport.dps.service_responder import ServiceResponder
from homeport.net.screening import Screen
from homeport.net.sites import HttpFrontEnd, Site
from homeport.security.ip_filter import Door
from homeport.security.policies import Random


def dps_site(
    *,
    names: Sequence[str],
    devices: DeviceResponder,
    service: ServiceResponder,
    admin: Sequence[AdminResource],
    policies: Policies,
    clock: Clock,
    random: Random,
    http: tuple[HttpFrontEnd, ...] = (),
    public: Sequence[HttpFrontEnd] = (),
    admission: Admission | None = None,
    screen: Screen | None = None,
    administrators: FindAdministrator | None = None,
    journal: Journal | None = None,
    source: str = "",
) -> Site:
    """Make the site of one provisioning service; `http` are further front-ends under the same names.

    `public` are those that tell devices and whoever meets them what is no secret: they are behind the devices' door.

    `admission` is for administrators; the devices' responder has its own. `screen` is the IP filter. `administrators`
    finds whose a bearer token is; `journal`, with the `source` of its events, is what live streams tell.
    """
    screen = screen or Screen()
    authorization = Authorization(
        policies=policies,
        hosts=lambda: names,
        clock=clock,
        admission=admission,
        administrators=administrators,
    )
    if journal is not None:
        http = (EventsFrontEnd(journal, authorization, source=source, clock=clock, random=random), *http)
    return Site(
        names=frozenset(names),
        http=(
            screen.plain(DeviceFrontEnd(devices), Door.DEVICES),
            screen.http(ServiceFrontEnd(service, authorization, clock=clock, random=random), Door.SERVICE),
            screen.http(AdminFrontEnd(admin, authorization, clock=clock, random=random), Door.SERVICE),
            *(screen.http(front_end, Door.SERVICE) for front_end in http),
            *(screen.http(front_end, Door.DEVICES) for front_end in public),
        ),
        mqtt=(screen.mqtt(DeviceMqttFrontEnd(devices, clock)),),
        amqp=(screen.amqp(DeviceAmqpFrontEnd(devices, clock)),),
    )
