"""From a chosen hub to what must be done there: plan, hub identity and, for a TPM, its wrapped key. Pure.

The same whether a rule of ours chose the hub at once, or custom allocation after it was asked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from homeport.dps.attestation import Identity, TpmIdentity
from homeport.dps.identifiers import Random
from homeport.dps.model import (
    Assignment,
    DeviceSpec,
    Enrollment,
    HubCredential,
    LinkedHub,
    SasCredential,
    Terms,
    TpmKeys,
    TwinContent,
    TwinWrite,
)
from homeport.dps.model.hub import by_host
from homeport.dps.reprovisioning import Begin, Keep, Move, Plan, Reset, plan
from homeport.security.tpm import HMAC_KEY_BYTES, MAX_URI_BYTES, make_challenge, parse_public
from homeport.values import replace


class Settled(Struct, frozen=True, kw_only=True):
    """What the operation carries out."""

    plan: Plan
    spec: DeviceSpec
    tpm_key_blob: bytes | None
    left_behind: str | None = None
    """A hub that holds the device's data and is not linked any more."""

    @property
    def leaves(self) -> Assignment | None:
        """The assignment to give up once the target stands."""
        return self.plan.leaves if isinstance(self.plan, Move | Reset) else None

    @property
    def migrate_from(self) -> Assignment | None:
        """Where the twin is copied from."""
        return self.plan.leaves if isinstance(self.plan, Move) else None

    @property
    def is_new(self) -> bool:
        """Whether the target hub gets a device it had not."""
        return isinstance(self.plan, Begin | Move) or (isinstance(self.plan, Reset) and self.plan.moved)


def terms_of(enrollment: Enrollment, identity: Identity, device_id: str, api_version: str) -> Terms:
    """Gather what an assignment needs besides the hub."""
    return Terms(
        device_id=device_id,
        identity=(
            TpmKeys(
                endorsement_key=identity.endorsement_key.encoded, storage_root_key=identity.storage_root_key.encoded
            )
            if isinstance(identity, TpmIdentity)
            else identity
        ),
        iot_edge=enrollment.iot_edge,
        initial_twin=twin_content(enrollment.initial_twin),
        policy=enrollment.reprovision_policy,
        api_version=api_version,
    )


def settle(
    terms: Terms, current: Assignment | None, target: Assignment, hubs: Sequence[LinkedHub], random: Random
) -> Settled:
    """Compare the device's home with the chosen one, and make its identity there."""
    planned = plan(current, target, terms.policy, terms.api_version)
    leaves = planned.leaves if isinstance(planned, Move | Reset) else None
    left_behind = None
    if leaves is not None and by_host(hubs, leaves.hub) is None:
        # Data on a hub that is not linked any more can be neither moved nor removed.
        planned, left_behind = Reset(target=planned.target, moved=True, leaves=None), leaves.hub
    credential, blob = _hub_credential(terms.identity, planned.target, random)
    spec = DeviceSpec(
        device_id=planned.target.device_id,
        credential=credential,
        iot_edge=terms.iot_edge,
        twin=terms.initial_twin,
        twin_write=TwinWrite.ALWAYS if isinstance(planned, Move | Reset) else TwinWrite.IF_CREATED,
    )
    return Settled(plan=planned, spec=spec, tpm_key_blob=blob, left_behind=left_behind)


def with_twin(terms: Terms, twin: TwinContent | None) -> Terms:
    """Let the twin that custom allocation answered replace the enrollment's."""
    return terms if twin is None else replace(terms, initial_twin=twin)


def describe(planned: Plan) -> str:
    """Say what happens to the device, for the operator."""
    match planned:
        case Begin():
            return "first assignment"
        case Keep():
            return "the device stays, with its twin"
        case Move():
            return f"the device moves from {planned.leaves.hub}, with its twin"
        case Reset(moved=False):
            return "the device stays, its twin is reset"
        case Reset():
            return "the device moves and starts with the initial twin"


def twin_content(twin: Mapping[str, Any] | None) -> TwinContent:
    """Read the wire document `{tags, properties: {desired}}`; nothing is an empty twin."""
    properties = (twin or {}).get("properties") or {}
    return TwinContent(tags=_content((twin or {}).get("tags")), desired=_content(properties.get("desired")))


def _content(section: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Drop `$version` and `$metadata`, which the C# collections carry along and no hub takes back."""
    return {key: value for key, value in (section or {}).items() if not key.startswith("$")}


def _hub_credential(
    identity: HubCredential | TpmKeys, target: Assignment, random: Random
) -> tuple[HubCredential, bytes | None]:
    """Return what the hub is to accept, and for a TPM its new key, wrapped (contract dps.md 7.6, 9.6)."""
    if not isinstance(identity, TpmKeys):
        return identity, None
    key = random(HMAC_KEY_BYTES)
    uri = f"{target.hub}/devices/{target.device_id}".encode()[:MAX_URI_BYTES]
    blob = make_challenge(
        parse_public(identity.endorsement_key), parse_public(identity.storage_root_key), key, uri, random
    )
    return SasCredential(primary_key=key, secondary_key=random(HMAC_KEY_BYTES)), blob
