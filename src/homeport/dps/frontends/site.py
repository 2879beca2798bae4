"""A provisioning service as a site: its names and the front-ends that answer there."""

from collections.abc import Sequence

from homeport.clock import Clock
from homeport.dps.frontends.admin import AdminFrontEnd, AdminResource
from homeport.dps.frontends.authorization import Authorization, Policies
from homeport.dps.frontends.http_device import DeviceFrontEnd
from homeport.dps.frontends.http_service import ServiceFrontEnd
from homeport.dps.frontends.mqtt import DeviceMqttFrontEnd
from homeport.dps.responder import DeviceResponder
from homeport.dps.service_responder import ServiceResponder
from homeport.net.sites import HttpFrontEnd, Site
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
) -> Site:
    """Make the site of one provisioning service; `http` are further front-ends under the same names."""
    authorization = Authorization(policies=policies, hosts=lambda: names, clock=clock)
    return Site(
        names=frozenset(names),
        http=(
            DeviceFrontEnd(devices),
            ServiceFrontEnd(service, authorization, clock=clock, random=random),
            AdminFrontEnd(admin, authorization, clock=clock, random=random),
            *http,
        ),
        mqtt=(DeviceMqttFrontEnd(devices, clock),),
    )
