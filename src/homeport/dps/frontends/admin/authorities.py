from homeport.dps.administration import AuthoritiesResponder, PoliciesResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG = DpsRight.SERVICE_CONFIG


class AuthoritiesResource:
    """`certificateAuthorities/{name}`, with `rotate`, `chain`, `crl`; and `masterKey/rotate`."""

    collections = frozenset({"certificateauthorities", "masterkey"})

    def __init__(self, responder: AuthoritiesResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, tracking_id = self._responder, request.body, request.tracking_id
        version = request.parameters.get("version")
        match request.path:
            case ["certificateauthorities"]:
                return {"GET": (_CONFIG, lambda: responder.list(tracking_id))}
            case ["certificateauthorities", name]:
                return {
                    "GET": (_CONFIG, lambda: responder.get(name, tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(name, body, tracking_id)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, tracking_id)),
                }
            case ["certificateauthorities", name, "rotate"]:
                return {"POST": (_CONFIG, lambda: responder.rotate(name, body, tracking_id))}
            case ["certificateauthorities", name, "chain"]:
                return {"GET": (_CONFIG, lambda: responder.chain(name, version, tracking_id))}
            case ["certificateauthorities", name, "crl"]:
                return {"GET": (_CONFIG, lambda: responder.revocation_list(name, version, tracking_id))}
            case ["masterkey", "rotate"]:
                return {"POST": (_CONFIG, lambda: responder.rotate_master_key(tracking_id))}
            case _:
                return {}


class PoliciesResource:
    """`certificatePolicies` and `certificatePolicies/{name}`."""

    collections = frozenset({"certificatepolicies"})

    def __init__(self, responder: PoliciesResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, tracking_id = self._responder, request.body, request.tracking_id
        match request.path:
            case ["certificatepolicies"]:
                return {"GET": (_CONFIG, lambda: responder.list(tracking_id))}
            case ["certificatepolicies", name]:
                return {
                    "GET": (_CONFIG, lambda: responder.get(name, tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(name, body, tracking_id)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, tracking_id)),
                }
            case _:
                return {}
