"""Reads a query or a condition (contract hub.md 8.2)."""

from homeport.hub.query.errors import QueryError
from homeport.hub.query.fields import spelt
from homeport.hub.query.functions import FUNCTIONS
from homeport.hub.query.syntax import (
    Aggregate,
    Attribute,
    Binary,
    Both,
    Call,
    Either,
    Expression,
    Item,
    Literal,
    Membership,
    Negation,
    Operator,
    Query,
    Source,
)
from homeport.hub.query.tokens import Kind, Token, tokens
from homeport.hub.query.values import UNDEFINED

MAX_DEPTH = 64
"""Parentheses and NOTs inside each other: evaluation is recursive."""
TWIN_FUNCTIONS = frozenset({"IS_DEFINED"})
"""Others are for routes (contract hub.md 8.2)."""

_COMPARISONS = {sign.value: sign for sign in list(Operator)[:6]}
_SUMS = {"+": Operator.ADD, "-": Operator.SUBTRACT}
_PRODUCTS = {"*": Operator.MULTIPLY, "/": Operator.DIVIDE, "%": Operator.REMAINDER}
_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None, "UNDEFINED": UNDEFINED}
_KEY_WORDS = frozenset({
    "SELECT", "TOP", "AS", "FROM", "WHERE", "GROUP", "BY", "AND", "OR", "NOT", "IN", "NIN", *_CONSTANTS
})  # fmt: skip


def parse(text: str) -> Query:
    """Read a whole query. Raises QueryError."""
    return _Parser(text, TWIN_FUNCTIONS).query()


def parse_condition(
    text: str, source: Source | None = Source.DEVICES, *, functions: frozenset[str] = TWIN_FUNCTIONS
) -> Expression | None:
    """Read what stands behind WHERE; None for `*` or nothing, which everything satisfies. Raises QueryError.

    `source` None takes attribute names as they are written: a route's condition is about messages.
    """
    if text.strip() in {"", "*"}:
        return None
    return _Parser(text, functions).condition_alone(source)


class _Parser:
    def __init__(self, text: str, functions: frozenset[str]) -> None:
        self._tokens = list(tokens(text))
        self._place = 0
        self._functions = functions
        self._source: Source | None = Source.DEVICES
        self._depth = 0

    # ------------------------------------------------------------ the whole

    def query(self) -> Query:
        self._demand_word("SELECT")
        top = self._top()
        # Fields are spelt as their source has them, and the source comes behind them.
        start = self._place
        self._source = self._find_source()
        self._place = start
        items = self._items()
        self._demand_word("FROM")
        source = self._read_source()
        condition = None
        if self._take_word("WHERE"):
            condition = self._either()
        group_by = self._group_by()
        self._end()
        query = Query(source=source, items=items, top=top, condition=condition, group_by=group_by)
        _check(query)
        return query

    def condition_alone(self, source: Source | None) -> Expression:
        self._source = source
        condition = self._either()
        self._end()
        return condition

    def _top(self) -> int | None:
        if not self._take_word("TOP"):
            return None
        token = self._next()
        if token.kind is not Kind.NUMBER or not token.text.isdigit() or not 1 <= int(token.text[:10]) <= 1_000_000_000:
            raise self._unexpected(token, "a whole number from 1 up")
        return int(token.text)

    def _find_source(self) -> Source:
        """Look ahead for FROM, at the level of the query itself."""
        while not self._take_word("FROM"):
            token = self._next()
            if token.kind is Kind.END:
                raise self._unexpected(token, "FROM")
            if token.is_sign("."):
                self._next()  # a member may be called anything
        return self._read_source()

    def _read_source(self) -> Source:
        token = self._next()
        name = token.text.lower()
        if token.kind is Kind.WORD and self._take_sign("."):
            name += f".{self._next().text.lower()}"
        for source in Source:
            if token.kind is Kind.WORD and source.value == name:
                return source
        raise self._unexpected(token, "devices, devices.modules or devices.jobs")

    def _group_by(self) -> tuple[Attribute, ...]:
        if not self._take_word("GROUP"):
            return ()
        self._demand_word("BY")
        attributes = [self._attribute()]
        while self._take_sign(","):
            attributes.append(self._attribute())
        return tuple(attributes)

    def _end(self) -> None:
        if self._peek().kind is not Kind.END:
            raise self._unexpected(self._peek(), "the end of the query")

    # ------------------------------------------------------------ columns

    def _items(self) -> tuple[Item, ...] | None:
        if self._take_sign("*"):
            return None
        items = [self._item(1)]
        while self._take_sign(","):
            items.append(self._item(len(items) + 1))
        return tuple(items)

    def _item(self, number: int) -> Item:
        token = self._peek()
        aggregate = next((each for each in Aggregate if token.is_word(each.value)), None)
        if aggregate is None or not self._peek(1).is_sign("("):
            attribute = self._attribute()
            return Item(self._alias() or attribute.path[-1], attribute)
        self._next()
        self._demand_sign("(")
        if aggregate is Aggregate.COUNT:
            self._take_sign("*")
            inside = None
        else:
            inside = self._attribute()
        self._demand_sign(")")
        return Item(self._alias() or f"${number}", inside, aggregate)

    def _alias(self) -> str | None:
        if not self._take_word("AS"):
            return None
        token = self._next()
        if token.kind not in {Kind.WORD, Kind.NAME, Kind.TEXT} or not token.text:
            raise self._unexpected(token, "a name")
        return token.text

    # ------------------------------------------------------------ conditions, the loosest binding first

    def _either(self) -> Expression:
        parts = [self._both()]
        while self._take_word("OR"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self) -> Expression:
        parts = [self._negation()]
        while self._take_word("AND"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _negation(self) -> Expression:
        if not self._take_word("NOT"):
            return self._comparison()
        self._enter()
        operand = self._negation()
        self._depth -= 1
        return Negation(operand)

    def _comparison(self) -> Expression:
        left = self._sum()
        token = self._peek()
        if token.kind is Kind.SIGN and token.text in _COMPARISONS:
            self._next()
            return Binary(_COMPARISONS[token.text], left, self._sum())
        if token.is_word("IN") or token.is_word("NIN"):
            self._next()
            return Membership(left, self._constants(), negated=token.is_word("NIN"))
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while (token := self._peek()).kind is Kind.SIGN and token.text in _SUMS:
            self._next()
            left = self._deeper(Binary(_SUMS[token.text], left, self._product()))
        return left

    def _product(self) -> Expression:
        left = self._operand()
        while (token := self._peek()).kind is Kind.SIGN and token.text in _PRODUCTS:
            self._next()
            left = self._deeper(Binary(_PRODUCTS[token.text], left, self._operand()))
        return left

    def _operand(self) -> Expression:
        token = self._peek()
        if token.is_sign("("):
            self._next()
            self._enter()
            inside = self._either()
            self._demand_sign(")")
            self._depth -= 1
            return inside
        if self._is_constant(token):
            return Literal(self._constant())
        if token.kind is Kind.WORD and self._peek(1).is_sign("("):
            return self._call()
        return self._attribute()

    def _call(self) -> Call:
        token = self._next()
        name = token.text.upper()
        if name not in self._functions:
            known = ", ".join(sorted(self._functions))
            raise QueryError(f"{token.shown} at character {token.place} is no function here; there is {known}.")
        self._demand_sign("(")
        self._enter()
        arguments: list[Expression] = []
        if not self._peek().is_sign(")"):
            arguments.append(self._either())
            while self._take_sign(","):
                arguments.append(self._either())
        self._demand_sign(")")
        self._depth -= 1
        wanted = FUNCTIONS[name].arguments
        if len(arguments) not in wanted:
            counts = " or ".join(str(count) for count in wanted)
            raise QueryError(f"{name} at character {token.place} takes {counts} arguments, not {len(arguments)}.")
        if name == "IS_DEFINED" and not isinstance(arguments[0], Attribute):
            raise QueryError(f"IS_DEFINED at character {token.place} takes an attribute.")
        return Call(name, tuple(arguments))

    # ------------------------------------------------------------ attributes and constants

    def _attribute(self) -> Attribute:
        token = self._next()
        braced = token.kind is Kind.BRACED and self._source is None and token.text != ""
        if not braced and (token.kind is not Kind.WORD or token.text.upper() in _KEY_WORDS):
            raise self._unexpected(token, "an attribute")
        path = [token.text, *self._members()]
        return Attribute(tuple(path) if self._source is None else spelt(self._source, path, token.place))

    def _members(self) -> list[str]:
        members = []
        while True:
            if self._take_sign("."):
                token = self._next()
                if token.kind not in {Kind.WORD, Kind.NAME}:
                    raise self._unexpected(token, "a member's name")
                members.append(token.text)
            elif self._peek().kind is Kind.NAME:
                members.append(self._next().text)
            elif self._peek().is_sign("[") and self._is_member(self._peek(1)):
                self._next()
                members.append(self._next().text)
                self._demand_sign("]")
            else:
                return members

    def _is_member(self, token: Token) -> bool:
        """Tell whether this names a member between brackets; messages, unlike twins, are asked by place, too."""
        return token.kind is Kind.TEXT or (self._source is None and token.text.isdecimal())

    def _is_constant(self, token: Token) -> bool:
        if token.kind in {Kind.TEXT, Kind.NUMBER}:
            return True
        if token.kind is Kind.WORD:
            return token.text.upper() in _CONSTANTS
        return token.is_sign("[") or ((token.is_sign("-") or token.is_sign("+")) and self._peek(1).kind is Kind.NUMBER)

    def _constant(self) -> object:
        token = self._peek()
        if token.is_sign("["):
            return list(self._constants())
        self._next()
        if token.kind is Kind.SIGN:
            number = _number(self._next().text)
            return -number if token.text == "-" else number
        if token.kind is Kind.TEXT:
            return token.text
        return _number(token.text) if token.kind is Kind.NUMBER else _CONSTANTS[token.text.upper()]

    def _constants(self) -> tuple[object, ...]:
        self._demand_sign("[")
        self._enter()
        values: list[object] = []
        while not self._peek().is_sign("]"):
            if values:
                self._demand_sign(",")
            if not self._is_constant(self._peek()):
                raise self._unexpected(self._peek(), "a constant")
            values.append(self._constant())
        self._next()
        self._depth -= 1
        return tuple(values)

    # ------------------------------------------------------------ steps

    def _peek(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._place + ahead, len(self._tokens) - 1)]

    def _next(self) -> Token:
        token = self._peek()
        self._place += 1
        return token

    def _take_word(self, word: str) -> bool:
        taken = self._peek().is_word(word)
        self._place += taken
        return taken

    def _take_sign(self, sign: str) -> bool:
        taken = self._peek().is_sign(sign)
        self._place += taken
        return taken

    def _demand_word(self, word: str) -> None:
        if not self._take_word(word):
            raise self._unexpected(self._peek(), word)

    def _demand_sign(self, sign: str) -> None:
        if not self._take_sign(sign):
            raise self._unexpected(self._peek(), f"'{sign}'")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise QueryError(f"The query is nested more than {MAX_DEPTH} deep.")

    def _deeper(self, expression: Binary) -> Binary:
        """Bound what is nested to the left: `a + a + a …` is evaluated as deep as it is long."""
        depth, inner = 0, expression.left
        while isinstance(inner, Binary):
            depth, inner = depth + 1, inner.left
        if depth > MAX_DEPTH:
            raise QueryError(f"The query calculates with more than {MAX_DEPTH} operators in a row.")
        return expression

    def _unexpected(self, token: Token, wanted: str) -> QueryError:
        return QueryError(f"The query has {token.shown} at character {token.place} where {wanted} was expected.")


def _number(text: str) -> int | float:
    if text[:2].lower() == "0x":
        return int(text, 16)
    return int(text) if text.isdigit() else float(text)


def _check(query: Query) -> None:
    """Refuse what is well formed and means nothing (contract hub.md 8.2)."""
    if query.source is Source.JOBS and (query.items is not None or query.group_by):
        raise QueryError("Of devices.jobs only SELECT * can be asked, without GROUP BY.")
    if not query.aggregates:
        return
    if query.items is None:
        raise QueryError("SELECT * and GROUP BY do not go together.")
    for item in query.items:
        if item.aggregate is None and item.attribute not in query.group_by:
            raise QueryError(f"{item.name} is neither aggregated nor grouped by.")
