"""What the stand-in knows of access: shared access policies, the IP filter, issuing authorities."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

Json = dict[str, Any]
AT = "2026-03-14T11:00:00.0000000Z"


@dataclass
class AccessMemory:
    policies: dict[str, Json] = field(default_factory=dict)
    rules: list[Json] = field(default_factory=list)
    authorities: dict[str, Json] = field(default_factory=dict)
    certificate_policies: list[Json] = field(default_factory=list)
    issued: list[Json] = field(default_factory=list)

    def add_policy(self, name: str, *rights: str) -> None:
        self.policies[name] = {
            "name": name,
            "rights": list(rights),
            "primaryKey": "cHJpbWFyeS0x",
            "secondaryKey": "c2Vjb25kYXJ5LTE=",
            "etag": "e",
            "createdDateTimeUtc": AT,
            "lastUpdatedDateTimeUtc": AT,
        }

    def add_authority(self, name: str, *, until: str = "2036-01-01T00:00:00Z", **more: Any) -> None:
        version = {
            "version": 1,
            "keyType": "EC-P256",
            "subjectName": f"CN={name}",
            "sha256Thumbprint": "AB" * 32,
            "serialNumber": "0102",
            "notBeforeUtc": AT,
            "notAfterUtc": until,
        }
        self.authorities[name] = {
            "name": name,
            "maximumValiditySeconds": 864000,
            "active": version,
            "versions": [version],
            **more,
        }

    def respond(self, request: httpx.Request, parts: list[str]) -> httpx.Response | None:
        """Answer what is below `/homeport/` and about these nouns, None for anything else."""
        match request.method, parts:
            case "GET", ["policies"]:
                return _json([_bare(each) for each in self.policies.values()])
            case _, ["policies", name, *rest] if name in self.policies:
                return self._policy(request, self.policies[name], rest)
            case "GET", ["ipFilter"]:
                return _json({"rules": self.rules, "etag": "e1"})
            case "PUT", ["ipFilter"]:
                rules = json.loads(request.content)["rules"]
                if any(rule["network"] == "nonsense" for rule in rules):
                    return httpx.Response(400, json={"errorCode": 400000, "message": "nonsense is no <network>"})
                self.rules = rules
                return _json({"rules": self.rules, "etag": "e2"})
            case "GET", ["ipFilter", "test", address]:
                if address == "nonsense":
                    return httpx.Response(400, json={"errorCode": 400000, "message": "nonsense is no <address>"})
                decision = {"target": "devices", "allowed": not self.rules}
                return _json({"decisions": [decision | ({"rule": self.rules[0]["name"]} if self.rules else {})]})
            case "GET", ["certificateAuthorities"]:
                return _json(list(self.authorities.values()))
            case "GET", ["certificateAuthorities", name] if name in self.authorities:
                return _json(self.authorities[name])
            case "GET", ["certificatePolicies"]:
                return _json(self.certificate_policies)
            case "GET", ["issuedCertificates"]:
                return _json(self.issued)
        return None

    def _policy(self, request: httpx.Request, policy: Json, rest: list[str]) -> httpx.Response:
        match request.method, rest:
            case "GET", []:
                return _json(_bare(policy))
            case "POST", ["swap"]:
                policy["primaryKey"], policy["secondaryKey"] = policy["secondaryKey"], policy["primaryKey"]
            case "POST", ["regenerate"]:
                which = json.loads(request.content)["key"]
                policy[f"{which}Key"] = f"{which}-new"
        return _json(policy)


def _bare(policy: Json) -> Json:
    return {name: value for name, value in policy.items() if not name.endswith("Key")}


def _json(document: Any) -> httpx.Response:
    return httpx.Response(200, json=document)
