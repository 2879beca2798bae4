"""The description says what the server has: every address it names is answered, and the file is up to date."""

import importlib.util
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homeport.dps.administration import CertificatesResponder, PoliciesResponder
from homeport.dps.frontends.admin import AdminFrontEnd, PoliciesResource
from homeport.dps.frontends.authorization import Authorization
from homeport.dps.frontends.http_crl import CrlFrontEnd
from homeport.dps.frontends.http_device import DeviceFrontEnd
from homeport.dps.frontends.http_service import ServiceFrontEnd
from homeport.dps.policies import CurrentPolicies, PolicyService
from homeport.errors import Code
from homeport.security.policies import DpsRight
from homeport.wire.openapi import OPERATIONS, Operation
from tests.transports.serving import Server, serving
from tests.transports.world import new_world

ROOT = Path(__file__).parents[2]

_spec = importlib.util.spec_from_file_location("openapi", ROOT / "scripts" / "openapi.py")
assert _spec is not None
assert _spec.loader is not None
openapi = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(openapi)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with new_world() as world:
        store, clock = world.database.policies, world.clock
        service = PolicyService(store, CurrentPolicies(store, clock), clock, bytes)
        guard = Authorization(policies=lambda: (), hosts=lambda: (), clock=clock)
        async with serving(
            DeviceFrontEnd(world.responder),
            CrlFrontEnd(
                CertificatesResponder(world.certificates, world.expiry, clock), guard, clock=clock, random=bytes
            ),
            ServiceFrontEnd(world.service, guard, clock=clock, random=bytes),
            AdminFrontEnd(
                (*world.admin, PoliciesResource(PoliciesResponder(service))), guard, clock=clock, random=bytes
            ),
        ) as running:
            yield running


def test_the_file_is_up_to_date() -> None:
    assert openapi.PAGE.read_text() == openapi.render(), "run scripts/openapi.py"


def test_names_are_given_once_and_rights_exist() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert {operation.right for operation in OPERATIONS} - {None} <= {right.value for right in DpsRight}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_every_operation_is_there(server: Server, operation: Operation) -> None:
    """Without proof it is refused for that, not for being unknown."""
    path = re.sub(r"{\w+}", "x", operation.path.replace("{idScope}", "0ne00111111"))
    answer = await server.ask(operation.method.upper(), f"{path}?api-version=2021-10-01")
    assert answer.document["errorCode"] in {Code.UNAUTHORIZED, Code.UNMATCHED}, answer.body
