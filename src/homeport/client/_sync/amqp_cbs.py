# Made by scripts/unasync.py: change its twin in _async instead.
"""Claims-based security from the client's side: a token is put on the connection (contract hub.md 15)."""

import uuid

from homeport.client._sync.amqp_stream import AmqpStream
from homeport.client.amqp_service_messages import CBS, put_token, refusal_of, token_refusal
from homeport.proto.amqp import (
    ACCEPTED,
    Attach,
    Closed,
    Delivery,
    Detached,
    Disposition,
    Ended,
    Event,
    Flow,
    LinkRole,
    Session,
    Source,
    Target,
    Transfer,
    decode_message,
    encode_message,
)


def prove(amqp: AmqpStream, session: Session, token: str, resource: str, deadline: float) -> None:
    """Put a token for `resource` on the connection, and wait until it is taken in.

    Nothing else may be under way. Raises UnauthorizedError, what `refusal_of` makes of an end, and what `amqp` raises.
    """
    answers = amqp.engine.new_link(session, "cbs-answers", LinkRole.RECEIVER)
    requests = amqp.engine.new_link(session, "cbs-requests", LinkRole.SENDER)
    amqp.say(
        Attach(link=answers, source=Source(address=CBS), target=Target(address="cbs")),
        Flow(link=answers, credit=1),
        Attach(link=requests, source=Source(address="cbs"), target=Target(address=CBS)),
        deadline=deadline,
    )
    while not requests.credit:
        _heard(amqp, deadline)
    request = put_token(token, resource, str(uuid.uuid4()))
    amqp.say(Transfer(link=requests, data=encode_message(request)), deadline=deadline)
    while not isinstance(event := _heard(amqp, deadline), Delivery):
        pass
    if not event.settled:
        done = Disposition(link=event.link, delivery_id=event.delivery_id, state=ACCEPTED)
        amqp.say(done, deadline=deadline)
    refused = token_refusal(decode_message(event.data))
    if refused is not None:
        raise refused


def _heard(amqp: AmqpStream, deadline: float) -> Event:
    event = amqp.hear(deadline)
    if isinstance(event, Closed | Ended | Detached):
        raise refusal_of(event.error)
    return event
