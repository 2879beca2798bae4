"""One registration by hand with Qpid Proton: SASL PLAIN with a token, or a certificate without SASL.

Reads {host, idScope, registrationId, apiVersion, ca, token | cert+certKey} as JSON on standard input and prints
{result} or {error} as JSON on standard output. Runs under the system's Python, whose Proton it is.
"""

import json
import sys
from typing import Any

from proton import Message, SSLDomain, symbol
from proton.handlers import MessagingHandler
from proton.reactor import Container, LinkOption

wanted = json.load(sys.stdin)
ADDRESS = f"{wanted['idScope']}/registrations/{wanted['registrationId']}"


class WithVersion(LinkOption):  # type: ignore[misc]  # Proton has no types
    """The property by which a device names its api-version."""

    def apply(self, link: Any) -> None:
        link.properties = {symbol("com.microsoft:api-version"): wanted["apiVersion"]}


class Device(MessagingHandler):  # type: ignore[misc]  # Proton has no types
    """Attaches both links, asks once, prints what comes."""

    def __init__(self) -> None:
        super().__init__(auto_accept=True)
        self.sender: Any = None

    def on_start(self, event: Any) -> None:
        domain = SSLDomain(SSLDomain.MODE_CLIENT)
        domain.set_trusted_ca_db(wanted["ca"])
        domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
        options = {"ssl_domain": domain, "reconnect": False, "heartbeat": 5}
        if "token" in wanted:
            options |= {"user": ADDRESS, "password": wanted["token"], "allowed_mechs": "PLAIN"}
        else:
            domain.set_credentials(wanted["cert"], wanted["certKey"], None)
            options |= {"sasl_enabled": False}
        connection = event.container.connect(f"amqps://{wanted['host']}:5671", **options)
        event.container.create_receiver(connection, ADDRESS, options=WithVersion())
        self.sender = event.container.create_sender(connection, ADDRESS, options=WithVersion())

    def on_sendable(self, event: Any) -> None:
        if event.sender == self.sender:
            properties = {"iotdps-operation-type": "iotdps-register"}
            body = json.dumps({"registrationId": wanted["registrationId"]}).encode()
            self.sender.send(Message(body=body, inferred=True, properties=properties, correlation_id="proton-1"))
            self.sender = None

    def on_rejected(self, event: Any) -> None:
        condition = event.delivery.remote.condition
        finish(event, error={"condition": condition.name, "body": json.loads(condition.description)})

    def on_message(self, event: Any) -> None:
        message = event.message
        finish(event, result=json.loads(bytes(message.body)), correlationId=message.correlation_id)

    def on_link_error(self, event: Any) -> None:
        finish(event, error={"condition": event.link.remote_condition.name})

    def on_connection_error(self, event: Any) -> None:
        condition = event.connection.remote_condition
        finish(event, error={"condition": condition.name, "body": json.loads(condition.description)})

    def on_transport_error(self, event: Any) -> None:
        finish(event, error={"condition": event.transport.condition.name})


def finish(event: Any, **answer: Any) -> None:
    if not getattr(event.container, "finished", False):
        event.container.finished = True
        print(json.dumps(answer))
    if event.connection is not None:
        event.connection.close()


Container(Device()).run()
