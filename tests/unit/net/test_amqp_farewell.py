"""Which sessions end before the CLOSE of their connection, and how."""

from typing import Any

import pytest

from homeport.net.amqp_farewell import last_ends
from homeport.proto.amqp import Attached, Condition, End, Error, Link, LinkRole, Session

FORCED = Error(condition=Condition.CONNECTION_FORCED, description="why", info={"a": 1})
EXPIRED = Error(condition=Condition.UNAUTHORIZED_ACCESS, description="expired")


def attached(session: Session, properties: dict[Any, Any] | None) -> Attached:
    return Attached(link=Link(session, "one", LinkRole.SENDER, ours=False), properties=properties)


def version(text: Any) -> dict[Any, Any]:
    return {"com.microsoft:client-version": text}


@pytest.mark.parametrize(
    "text", ["azure-iot-device/1.18.4 (node v20.0.0)mine", "azure-iot-provisioning-device/1.9.8", "azure-iothub/1.16.5"]
)
def test_node_clients_hear_the_end_of_their_session(text: str) -> None:
    session = Session(ours=False)
    links = [attached(session, None), attached(session, version(text))]
    assert last_ends([(session, links)], EXPIRED) == [End(session=session, error=EXPIRED)]
    assert last_ends([(session, links)], None) == [End(session=session)]


def test_a_forced_close_is_one_on_which_they_come_back() -> None:
    session = Session(ours=False)
    (end,) = last_ends([(session, [attached(session, version("azure-iothub/1"))])], FORCED)
    assert end.error == Error(condition=Condition.DETACH_FORCED, description="why", info={"a": 1})


@pytest.mark.parametrize(
    "properties",
    [
        None,
        {},
        version(7),
        version("azure-iot-hub/2.7.0"),
        version("com.microsoft.azure.sdk.iot"),
        version("x/1 (node)"),
    ],
)
def test_others_do_not(properties: dict[Any, Any] | None) -> None:
    session = Session(ours=False)
    assert last_ends([(session, [attached(session, properties)])], FORCED) == []


def test_a_session_without_links_ends_without_an_error() -> None:
    session = Session(ours=False)
    assert last_ends([(session, [])], FORCED) == [End(session=session)]
