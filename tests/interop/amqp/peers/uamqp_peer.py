"""uamqp, the library under Microsoft's Python service client, as a client that does what its JSON argument says."""

import json
import sys

import uamqp
from uamqp import authentication, errors, types
from uamqp.message import MessageProperties


def body_of(size: int) -> bytes:
    return bytes(i % 251 for i in range(size))


def authenticate(wanted):
    options = {"port": wanted["port"], "verify": wanted["ca"]}
    if wanted["mechanism"] == "PLAIN":
        return authentication.SASLPlain("localhost", wanted["user"], wanted["password"], **options)
    return authentication.SASLAnonymous("localhost", **options)


def send(wanted, told):
    client = uamqp.SendClient(
        f"amqps://localhost:{wanted['port']}/{wanted['to']}",
        auth=authenticate(wanted),
        max_frame_size=wanted.get("max_frame_size"),
        error_policy=errors.ErrorPolicy(max_retries=0),
    )
    try:
        for size in wanted["send"]:
            message = uamqp.Message(
                body=body_of(size),
                properties=MessageProperties(message_id=7, correlation_id=f"size {size}"),
                application_properties={b"size": size, b"text": "ä"},
                msg_format=0,
            )
            message.annotations = {types.AMQPSymbol(b"x-note"): size}
            try:
                client.send_message(message)
                told["outcomes"].append(["accepted"])
            except errors.MessageException as refusal:
                told["outcomes"].append(["rejected", str(refusal)])
    finally:
        client.close()


def receive(wanted, told):
    client = uamqp.ReceiveClient(
        f"amqps://localhost:{wanted['port']}/{wanted['from']}",
        auth=authenticate(wanted),
        prefetch=wanted["receive"],
        max_frame_size=wanted.get("max_frame_size"),
    )
    try:
        while len(told["received"]) < wanted["count"]:
            for message in client.receive_message_batch(timeout=5000):
                data = b"".join(message.get_data())
                told["received"].append([len(data), data == body_of(len(data)), str(message.properties.correlation_id)])
                message.accept()
    finally:
        client.close()


if __name__ == "__main__":
    wanted = json.loads(sys.argv[2])
    told = {"outcomes": [], "received": [], "errors": []}
    try:
        send(wanted, told) if wanted.get("send") else receive(wanted, told)
    except errors.AMQPError as error:
        told["errors"].append([type(error).__name__, str(error)])
    print(json.dumps(told))
