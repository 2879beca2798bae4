"""One registration by hand with uamqp, the C client's AMQP library: SASL PLAIN with a token.

Reads {host, idScope, registrationId, apiVersion, ca, token} as JSON on standard input and prints {result} or {error}
as JSON on standard output.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import uamqp
from uamqp import address, authentication, constants, errors, message

wanted = json.load(sys.stdin)
NAME = f"{wanted['idScope']}/registrations/{wanted['registrationId']}"
ADDRESS = f"amqps://{wanted['host']}/{NAME}"
PATIENCE_SECONDS = 20.0


def main() -> dict[str, Any]:
    """Attach both links as the C client does, ask once, return what came."""
    auth = authentication.SASLPlain(wanted["host"], NAME, wanted["token"], verify=wanted["ca"])
    connection = uamqp.Connection(wanted["host"], auth, container_id="prov_connection", max_frame_size=4294967295)
    session = uamqp.Session(connection)
    answers: list[Any] = []
    outcomes: list[Any] = []
    properties = {b"com.microsoft:api-version": wanted["apiVersion"].encode()}
    receiver = uamqp.receiver.MessageReceiver(
        session,
        address.Source(ADDRESS),
        "local_endpoint",
        on_message_received=answers.append,
        name="recv_link",
        properties=properties,
    )
    receiver.open()
    sender = uamqp.sender.MessageSender(
        session, "remote_endpoint", address.Target(ADDRESS), name="sender_link", properties=properties
    )
    sender.open()

    def wait_for(condition: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition() and time.monotonic() < end:
            connection.work()

    wait_for(lambda: sender.get_state() == constants.MessageSenderState.Open)
    request = uamqp.Message(
        json.dumps({"registrationId": wanted["registrationId"]}).encode(),
        application_properties={b"iotdps-operation-type": b"iotdps-register"},
        properties=message.MessageProperties(correlation_id="uamqp-1"),
    )
    sender.send(request, lambda _message, result, **_: outcomes.append(result))
    wait_for(lambda: answers or constants.MessageSendResult.Error in outcomes)
    assert answers, outcomes
    body = b"".join(answers[0].get_data())
    found = {"result": json.loads(body), "correlationId": answers[0].properties.correlation_id.decode()}
    for each in (sender, receiver, session, connection):
        each.destroy()
    return found


try:
    said = main()
except (errors.AMQPError, AssertionError) as error:
    said = {"error": {"condition": repr(error)}}
print(json.dumps(said))
