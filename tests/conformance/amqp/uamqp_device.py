"""One registration by hand with uamqp, the C client's AMQP library: SASL PLAIN with a token.

Reads {host, idScope, registrationId, apiVersion, ca, token} as JSON on standard input and prints {result} or {error}
as JSON on standard output.
"""

import json
import sys
import time

import uamqp
from uamqp import authentication, constants

wanted = json.load(sys.stdin)
ADDRESS = f"amqps://{wanted['host']}/{wanted['idScope']}/registrations/{wanted['registrationId']}"
PATIENCE_SECONDS = 20.0

auth = authentication.SASLPlain(
    wanted["host"],
    f"{wanted['idScope']}/registrations/{wanted['registrationId']}",
    wanted["token"],
    verify=wanted["ca"],
)
properties = {b"com.microsoft:api-version": wanted["apiVersion"].encode()}
answers = []
outcomes = []


def take(message):
    answers.append((b"".join(message.get_data()), message.properties.correlation_id))
    return None


connection = uamqp.Connection(wanted["host"], auth, container_id="uamqp-device", max_frame_size=4294967295)
session = uamqp.Session(connection)
receiver = uamqp.receiver.MessageReceiver(
    session, ADDRESS, "local_endpoint", on_message_received=take, name="recv_link",
    receive_settle_mode=constants.ReceiverSettleMode.ReceiveAndDelete, properties=properties,
)
receiver.open()
sender = uamqp.sender.MessageSender(session, "remote_endpoint", ADDRESS, name="sender_link", properties=properties)
sender.open()


def wait_for(condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < end:
        connection.work()
    return condition()


ready = constants.MessageSenderState.Open
if not wait_for(lambda: sender.get_state() == ready):
    print(json.dumps({"error": {"condition": str(sender.get_state())}}))
    sys.exit(1)
message = uamqp.Message(
    json.dumps({"registrationId": wanted["registrationId"]}).encode(),
    application_properties={b"iotdps-operation-type": b"iotdps-register"},
    properties=uamqp.message.MessageProperties(correlation_id="uamqp-1"),
)
message.on_send_complete = lambda result, exception: outcomes.append((str(result), exception))
sender.send(message, lambda _message, result, error=None: outcomes.append((result, error)))
if wait_for(lambda: answers or any(error for _, error in outcomes)) and answers:
    body, correlation_id = answers[0]
    print(json.dumps({"result": json.loads(body), "correlationId": correlation_id.decode()}))
else:
    error = next((error for _, error in outcomes if error), None)
    print(json.dumps({"error": repr(error)}))
sender.close()
receiver.close()
session.destroy()
connection.destroy()
