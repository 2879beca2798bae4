"""What the outside sees of this process: the server certificate, `ca.pem`, and `connection.json`.

All three follow the names the process answers to, which change while it runs.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence

from homeport.app.directory import ConnectionInfo, DataDirectory, Ports
from homeport.app.identity import (
    HUB_OWNER_POLICY,
    OWNER_POLICY,
    ServiceIdentity,
    event_hub_connection_string,
    service_connection_string,
)
from homeport.app.pki import KeyPair, is_due, issue_server_certificate
from homeport.clock import Clock
from homeport.dps.policies import administrator
from homeport.hub.event_streams import event_hub_name
from homeport.hub.model import Hub
from homeport.net.certificates import ServerCertificates
from homeport.security.policies import DpsRight, SharedAccessPolicy

RENEWAL_CHECK = 3600.0
READER_POLICY = "service"
"""The policy with which events are read, where a hub has it: it may not change the registry."""

_log = logging.getLogger(__name__)


class Presence:
    """Keeps certificate and connection information in step with names, ports and time."""

    def __init__(
        self,
        directory: DataDirectory,
        identity: ServiceIdentity,
        clock: Clock,
        *,
        host_names: Sequence[str],
        admin_host: str,
        hubs: Callable[[], Iterable[Hub]],
        policies: Callable[[], Sequence[SharedAccessPolicy[DpsRight]]],
    ) -> None:
        """`host_names` are the provisioning service's, first the one clients are told; `admin_host` is among them."""
        self._directory = directory
        self._identity = identity
        self._clock = clock
        self._host_names = host_names
        self._admin_host = admin_host
        self._hubs = hubs
        self._policies = policies
        self._lock = threading.Lock()
        self._announced: tuple[Ports, str] | None = None
        directory.write("ca.pem", identity.root_ca.certificate)
        pair = self._load()
        self.certificates = ServerCertificates(pair.certificate, pair.key)

    def announce(self, ports: Ports, portal_url: str) -> None:
        """Write `connection.json`; from now on it is rewritten when hubs change."""
        self._announced = ports, portal_url
        self.refresh()

    def refresh(self) -> None:
        """Look at the names again: a new one needs a new certificate, and clients are told of new hubs."""
        with self._lock:
            server = self._stored()
            if server is None or self._due(server):
                pair = self._issue()
                self.certificates.replace(pair.certificate, pair.key)
                _log.info("the server certificate was renewed for %s", ", ".join(self._names()))
            if self._announced is not None:
                self._directory.write_connection(self._connection(*self._announced))

    def policies_changed(self) -> None:
        """Tell clients the new keys; what cannot be written now is written with the next change, or in an hour."""
        try:
            self.refresh()
        except OSError:
            _log.exception("connection.json could not be written after a change of the shared access policies")

    async def keep_fresh(self) -> None:
        """Renew the certificate in time, until cancelled."""
        while True:
            await self._clock.sleep(RENEWAL_CHECK)
            try:
                self.refresh()
            except OSError:
                _log.exception("the server certificate could not be renewed; trying again in an hour")

    def _names(self) -> tuple[str, ...]:
        hubs = (name for hub in self._hubs() for name in hub.host_names)
        return tuple(dict.fromkeys((*self._host_names, *hubs)))

    def _load(self) -> KeyPair:
        stored = self._stored()
        return self._issue() if stored is None or self._due(stored) else stored

    def _stored(self) -> KeyPair | None:
        # Key and certificate share a file, so that no crash can leave one without the other.
        both = self._directory.read("server.pem")
        return None if both is None else KeyPair(certificate=both, key=both)

    def _due(self, server: KeyPair) -> bool:
        return is_due(server, self._identity.root_ca, names=self._names(), now=self._clock.now())

    def _issue(self) -> KeyPair:
        pair = issue_server_certificate(self._identity.root_ca, names=self._names(), now=self._clock.now())
        self._directory.write("server.pem", pair.certificate + pair.key)
        return pair

    def _connection(self, ports: Ports, portal_url: str) -> ConnectionInfo:
        usual = Ports()
        port = "" if ports.https == usual.https else f":{ports.https}"
        of_amqp = "" if ports.amqp == usual.amqp else f":{ports.amqp}"
        hubs, event_hubs = {}, {}
        for hub in self._hubs():
            owner = next(policy for policy in hub.policies if policy.name == HUB_OWNER_POLICY)
            hubs[hub.name] = service_connection_string(f"{hub.host_names[0]}{port}", owner.name, owner.primary_key)
            reader = next((policy for policy in hub.policies if policy.name == READER_POLICY), owner)
            event_hubs[hub.name] = event_hub_connection_string(
                f"{hub.host_names[0]}{of_amqp}", reader.name, reader.primary_key, event_hub_name(hub)
            )
        endpoint = self._host_names[0]
        admin = administrator(self._policies(), OWNER_POLICY)
        return ConnectionInfo(
            id_scope=self._identity.id_scope,
            global_endpoint=endpoint,
            dps_connection_string=service_connection_string(f"{endpoint}{port}", admin.name, admin.primary_key),
            hub_connection_strings=hubs,
            event_hub_connection_strings=event_hubs,
            ca_file=os.fspath(self._directory.ca_file),
            portal_url=portal_url,
            ports=ports,
            admin_connection_string=service_connection_string(
                f"{self._admin_host}{port}", admin.name, admin.primary_key
            ),
        )
