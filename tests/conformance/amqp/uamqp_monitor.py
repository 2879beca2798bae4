"""A monitor of a hub's events with uamqp, as the Azure CLI extension does it: redirect, partitions, then each of them.

Reads {host, policy, key, ca, device, events, since} as JSON on the first line of standard input and prints one line of
JSON for each thing that happens: {event, ...}. Looks at events from a time on (`since`, milliseconds of the epoch) and
ends when it has seen so many of the device, or has looked everywhere.
"""

import json
import sys
import time
from typing import Any
from urllib.parse import quote

import uamqp
from uamqp import authentication, errors
from uamqp.constants import TransportType

from homeport.security import sas

wanted = json.loads(sys.stdin.readline())
HOST, POLICY, KEY = wanted["host"], wanted["policy"], wanted["key"]
EXPIRY = int(time.time()) + 3600
SELECTOR = b"apache.org:selector-filter:string"


def tell(event: str, **more: Any) -> None:
    """Print what happened."""
    print(json.dumps({"event": event, **more}), flush=True)


def endpoint() -> tuple[str, str]:
    """Ask the hub's own address, with its token in SASL PLAIN; the refusal says where to go."""
    token = sas.sign(HOST, sas.decode_key(KEY), EXPIRY, POLICY)
    user = quote(f"{POLICY}@sas.root.{HOST.split('.')[0]}", safe="")
    source = uamqp.address.Source(f"amqps://{user}:{quote(token, safe='')}@{HOST}/messages/events/$management")
    auth = authentication.SASLPlain(HOST, f"{POLICY}@sas.root.{HOST.split('.')[0]}", token, verify=wanted["ca"])
    client = uamqp.ReceiveClient(source, auth=auth, timeout=20000, prefetch=1)
    try:
        client.receive_message_batch(max_batch_size=1)
    except errors.LinkRedirect as redirect:
        return redirect.hostname.decode(), redirect.address.decode()
    finally:
        client.close()
    raise SystemExit("there was no redirect")


def sas_auth(host: str, path: str) -> Any:
    audience = f"sb://{host}/{path}"
    token = sas.sign(sas.encode_resource(audience), KEY.encode(), EXPIRY, POLICY)
    return authentication.SASTokenAuth(
        audience, audience, token.encode(), expires_at=EXPIRY, transport_type=TransportType.Amqp, verify=wanted["ca"]
    )


def partitions(host: str, address: str, path: str) -> list[str]:
    """Ask `$management`, beside an idle receiver on the address as it came."""
    client = uamqp.ReceiveClient(uamqp.address.Source(address), auth=sas_auth(host, path), timeout=20000)
    try:
        client.open()
        while not client.client_ready():
            time.sleep(0.05)
        answer = client.mgmt_request(
            uamqp.Message(application_properties={"name": path}),
            b"READ",
            op_type=b"com.microsoft:eventhub",
            status_code_field=b"status-code",
            description_fields=b"status-description",
            timeout=20000,
        )
        told = answer.get_data()
        tell("partitions", count=told[b"partition_count"], ids=[each.decode() for each in told[b"partition_ids"]])
        return [each.decode() for each in told[b"partition_ids"]]
    finally:
        client.close()


def read(host: str, path: str, partition: str, enough: int) -> int:
    """Tell the device's messages in a partition, until there were so many or no more come; return how many."""
    source = uamqp.address.Source(f"amqps://{host}/{path}/ConsumerGroups/$Default/Partitions/{partition}")
    source.set_filter(f"amqp.annotation.x-opt-enqueuedtimeutc > {wanted['since']}".encode())
    client = uamqp.ReceiveClient(source, auth=sas_auth(host, path), timeout=5000, prefetch=300)
    seen = 0
    try:
        while seen < enough and (batch := client.receive_message_batch(timeout=2000)):
            for message in batch:
                annotations = {name.decode(): value for name, value in message.annotations.items()}
                if annotations["iothub-connection-device-id"].decode() != wanted["device"]:
                    continue
                seen += 1
                tell(
                    "message",
                    sequence=annotations["x-opt-sequence-number"],
                    offset=annotations["x-opt-offset"].decode(),
                    body=b"".join(message.get_data()).decode(),
                    properties={
                        name.decode(): value.decode() for name, value in (message.application_properties or {}).items()
                    },
                    type=message.properties.content_type.decode(),
                )
    finally:
        client.close()
    return seen


def main() -> None:
    """Read until enough is seen."""
    host, address = endpoint()
    tell("redirected", hostname=host, address=address)
    path = address.split("/")[3]
    seen = 0
    for partition in partitions(host, address, path):
        if seen < wanted["events"]:
            seen += read(host, path, partition, wanted["events"] - seen)
    tell("closed", seen=seen)


main()
