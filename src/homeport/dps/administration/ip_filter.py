"""Which addresses may come in: the rules, and what they would do with an address."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from homeport.dps.reply import Reply, success
from homeport.dps.service_responder import read
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller
from homeport.security.ip_filter import Action, Door, IpFilter, Rule, RuleError, check_rules, read_address
from homeport.wire import ip_filter as wire

_LOOPBACK = ("127.0.0.1", "::1")


class IpFilterStore(Protocol):
    """The rules in their order, and a version that counts their changes."""

    async def get(self) -> tuple[int, Sequence[Rule]]: ...

    async def put(self, rules: Sequence[Rule], *, expected: int | None, by: Caller = SYSTEM) -> int:
        """Replace all rules and return the new version.

        `expected` None accepts any. Raise HomeportError PRECONDITION_FAILED if the stored version is another.
        """
        ...


class IpFilterResponder:
    """`changed` makes this process obey new rules before they are acknowledged; others see them within 2 seconds."""

    def __init__(self, store: IpFilterStore, changed: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._changed = changed

    async def get(self, tracking_id: str) -> Reply:
        version, rules = await self._store.get()
        return success(200, _document(version, rules), tracking_id)

    async def put(self, body: bytes, if_match: str | None, *, caller: Caller, force: bool) -> Reply:
        """Replace the rules. Without `force`, rules that lock the caller or this machine's administrators out are 400.

        The portal and the command line come from this machine.
        """
        rules = [_rule(rule) for rule in read(wire.rules, body).rules]
        try:
            check_rules(rules)
        except RuleError as error:
            raise HomeportError(Code.INVALID_REQUEST, str(error)) from None
        if not force:
            _refuse_lock_out(rules, caller.remote_address)
        version = await self._store.put(rules, expected=_expected(if_match), by=caller)
        await self._changed()
        return success(200, _document(version, rules), caller.tracking_id)

    async def test(self, address: str, tracking_id: str) -> Reply:
        """Answer with what the rules do with an address."""
        if read_address(address) is None:
            raise HomeportError(Code.INVALID_REQUEST, "The address is neither IPv4 nor IPv6.")
        _, rules = await self._store.get()
        decide = IpFilter(rules).decide
        decisions = []
        for door in Door:
            decision = decide(address, door)
            named = {} if decision.rule is None else {"rule": decision.rule.name}
            decisions.append(wire.Decision(target=door.value, allowed=decision.allowed, **named))
        return success(200, wire.Decisions(address=address, decisions=decisions), tracking_id)


def _refuse_lock_out(rules: Sequence[Rule], caller: str) -> None:
    decide = IpFilter(rules).decide
    for door, addresses in ((Door.SERVICE, (caller, *_LOOPBACK)), (Door.PORTAL, _LOOPBACK)):
        for address in addresses:
            decision = decide(address, door)
            if not decision.allowed and decision.rule is not None:
                raise HomeportError(
                    Code.INVALID_REQUEST,
                    f"Rule '{decision.rule.name}' would keep {address} from the {door.value}: an administrator would "
                    "be locked out. Allow it in an earlier rule, or repeat with force.",
                )


def _expected(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().strip('"')
    # Whatever is no version of ours has been replaced, or never was.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


def _rule(rule: wire.Rule) -> Rule:
    door = None if rule.target == "all" else Door(rule.target)
    return Rule(name=rule.name, action=Action(rule.action), network=rule.network.strip().lower(), door=door)


def _document(version: int, rules: Sequence[Rule]) -> wire.Rules:
    return wire.Rules(
        etag=f'"{version}"',
        rules=[
            wire.Rule(
                name=rule.name,
                action=rule.action.value,
                network=rule.network,
                target="all" if rule.door is None else rule.door.value,
            )
            for rule in rules
        ],
    )
