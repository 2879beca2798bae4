"""Which MQTT connections are let in (contract hub.md 13.2)."""

import logging

from homeport.hub.authentication import Refused
from homeport.hub.device_side import DeviceSide
from homeport.hub.errors import HubError
from homeport.hub.frontends.mqtt.kept import KeptSubscriptions
from homeport.hub.frontends.mqtt.session import DeviceSession
from homeport.hub.frontends.mqtt.topics import bag_of
from homeport.hub.frontends.mqtt.user_name import UserName
from homeport.hub.identifiers import path_of
from homeport.hub.responder import DeviceClaim
from homeport.net.sites import MqttLink, MqttSession
from homeport.net.stream import Peer
from homeport.proto.mqtt import Connect, ReturnCode
from homeport.security.explain import quoted

_log = logging.getLogger(__name__)


class DeviceFrontEnd:
    """Accepts the MQTT connections of one hub's devices."""

    def __init__(self, side: DeviceSide) -> None:
        self._side = side

    def owns(self, connect: Connect) -> bool:
        """Tell whether the user name begins with one of the hub's host names."""
        host = (connect.user_name or "").partition("/")[0].partition(":")[0].rstrip(".").lower()
        return any(host == name.rstrip(".").lower() for name in self._side.audience().hosts)

    async def connect(self, connect: Connect, peer: Peer, link: MqttLink) -> MqttSession | int:
        """Let a device in, or answer the code that makes its SDK do the right thing (contract hub.md 13.2)."""
        if not connect.client_id or len(connect.client_id) > 2 * 128 + 1:
            return ReturnCode.IDENTIFIER_REJECTED
        name = UserName.parse(connect.user_name or "", connect.client_id)
        if name is None or name.client_id != connect.client_id:
            return self._refuse(connect, peer, "client id and user name do not name the same device")
        prefix = "/".join((*path_of(connect.client_id), "messages/events"))
        if connect.will is not None and bag_of(connect.will.topic, prefix) is None:
            return self._refuse(connect, peer, f"its will is for {quoted(connect.will.topic)}, no topic of its own")
        claim = DeviceClaim(
            device_id=connect.client_id,
            token=connect.password.decode("utf-8", "replace") if connect.password else None,
            chain=peer.chain,
            model_id=name.model_id,
            remote=peer.remote.host,
            transport="mqtt" if peer.transport == "tls" else "mqtt-ws",
        )
        try:
            connected = await self._side.responder.connect(
                claim, link.close, lambda orderly: link.close() if orderly else link.abort()
            )
        except HubError as error:
            return self._refuse(connect, peer, error.message, ReturnCode.SERVER_UNAVAILABLE)
        if isinstance(connected, Refused):
            return ReturnCode.NOT_AUTHORIZED
        kept = KeptSubscriptions(self._side.subscriptions, connected, clean=connect.clean_session)
        try:
            known = await kept.recall()
        except BaseException:
            await self._side.responder.leave(connected)
            raise
        return DeviceSession(self._side, kept, known, connected, connect, link, prefix)

    def _refuse(self, connect: Connect, peer: Peer, why: str, code: ReturnCode = ReturnCode.NOT_AUTHORIZED) -> int:
        _log.info(
            "hub %s: client %s at %s refused: %s", self._side.hub, quoted(connect.client_id), peer.remote.host, why
        )
        return code
