from homeport.dps.administration import AuthoritiesResponder, CertificatePoliciesResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class AuthoritiesResource:
    """`certificateAuthorities/{name}`, with `rotate`, `chain`, `crl`; and `masterKey/rotate`."""

    collections = frozenset({"certificateauthorities", "masterkey"})

    def __init__(self, responder: AuthoritiesResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, caller = self._responder, request.body, request.caller
        version = request.parameters.get("version")
        match request.path:
            case ["certificateauthorities"]:
                return {"GET": (_READ, lambda: responder.list(caller.tracking_id))}
            case ["certificateauthorities", name]:
                return {
                    "GET": (_READ, lambda: responder.get(name, caller.tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(name, body, caller)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, caller)),
                }
            case ["certificateauthorities", name, "rotate"]:
                return {"POST": (_CONFIG, lambda: responder.rotate(name, body, caller))}
            case ["certificateauthorities", name, "chain"]:
                return {"GET": (_READ, lambda: responder.chain(name, version, caller.tracking_id))}
            case ["certificateauthorities", name, "crl"]:
                return {"GET": (_READ, lambda: responder.revocation_list(name, version, caller.tracking_id))}
            case ["masterkey", "rotate"]:
                return {"POST": (_CONFIG, lambda: responder.rotate_master_key(caller))}
            case _:
                return {}


class CertificatePoliciesResource:
    """`certificatePolicies` and `certificatePolicies/{name}`."""

    collections = frozenset({"certificatepolicies"})

    def __init__(self, responder: CertificatePoliciesResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, caller = self._responder, request.body, request.caller
        match request.path:
            case ["certificatepolicies"]:
                return {"GET": (_READ, lambda: responder.list(caller.tracking_id))}
            case ["certificatepolicies", name]:
                return {
                    "GET": (_READ, lambda: responder.get(name, caller.tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(name, body, caller)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, caller)),
                }
            case _:
                return {}
