"""The description says what the server has: every address it names is answered, and the file is up to date."""

import importlib.util
import inspect
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from homeport.dps.frontends import admin
from homeport.dps.frontends.admin import AdminResource
from homeport.errors import Code
from homeport.security.policies import DpsRight
from homeport.wire.openapi import OPERATIONS, Operation
from homeport.wire.openapi.operations import HOMEPORT
from tests.server import HomeportServer

ADDRESS = "127.0.57.2"
ROOT = Path(__file__).parents[2]

_spec = importlib.util.spec_from_file_location("openapi", ROOT / "scripts" / "openapi.py")
assert _spec is not None
assert _spec.loader is not None
openapi = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(openapi)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with HomeportServer(tmp_path_factory.mktemp("described") / "data", (ADDRESS,)) as running:
        trust = ssl.create_default_context(cafile=running.connection()["HOMEPORT_CA_FILE"])
        with httpx.Client(base_url=f"https://{ADDRESS}", verify=trust, trust_env=False) as client:
            yield client


def test_the_file_is_up_to_date() -> None:
    assert openapi.PAGE.read_text() == openapi.render(), "run scripts/openapi.py"


def test_names_are_given_once_and_rights_exist() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert {operation.right for operation in OPERATIONS} - {None} <= {right.value for right in DpsRight}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_is_there(server: httpx.Client, operation: Operation) -> None:
    """Without proof it is refused for that, not for being unknown."""
    path = re.sub(r"{\w+}", "x", operation.path.replace("{idScope}", "0ne00111111"))
    answer = server.request(operation.method.upper(), f"{path}?api-version=2021-10-01")
    assert answer.json()["errorCode"] in {Code.UNAUTHORIZED, Code.UNMATCHED}, answer.text


def test_no_collection_of_the_administration_is_left_out() -> None:
    described = {operation.path.split("/")[2].lower() for operation in OPERATIONS if operation.tag == HOMEPORT}
    resources = [found for _, found in inspect.getmembers(admin, inspect.isclass) if hasattr(found, "collections")]
    named = {word for resource in resources if resource is not AdminResource for word in resource.collections}
    assert len(named) > 8
    assert named <= described
