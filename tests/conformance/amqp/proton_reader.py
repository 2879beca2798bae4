"""A reader of feedback with Qpid Proton that comes back by itself, as Proton does it; it is ended from outside.

Reads {host, user, token, ca} as JSON on the first line of standard input; prints one line of JSON each time that its
link is open: {event}. Runs under the system's Python, whose Proton it is.
"""

import json
import sys
from typing import Any

from proton import SSLDomain
from proton.handlers import MessagingHandler
from proton.reactor import Backoff, Container

wanted = json.loads(sys.stdin.readline())


class Reader(MessagingHandler):  # type: ignore[misc]  # Proton has no types
    """Attaches once; what comes after is Proton's doing."""

    def on_start(self, event: Any) -> None:
        domain = SSLDomain(SSLDomain.MODE_CLIENT)
        domain.set_trusted_ca_db(wanted["ca"])
        domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
        connection = event.container.connect(
            f"amqps://{wanted['host']}:5671",
            ssl_domain=domain,
            user=wanted["user"],
            password=wanted["token"],
            allowed_mechs="PLAIN",
            reconnect=Backoff(max_delay=1),
        )
        event.container.create_receiver(connection, "messages/servicebound/feedback")

    def on_link_opened(self, event: Any) -> None:
        print(json.dumps({"event": "attached"}), flush=True)


Container(Reader()).run()
