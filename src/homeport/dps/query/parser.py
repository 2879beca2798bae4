"""Reads a query text: `SELECT * [FROM source] [WHERE condition] [ORDER BY key [ASC | DESC]]`, or nothing at all.

A field is known and its values have the right form before anything is looked for: what is wrong, and where, is told.
"""

from datetime import UTC, datetime

from homeport.dps.query.fields import Schema
from homeport.dps.query.syntax import (
    All,
    Comparison,
    Condition,
    Either,
    IsDefined,
    IsNull,
    Kind,
    Literal,
    Not,
    OneOf,
    Operand,
    Operator,
    Order,
    Query,
    SortKey,
    TextCondition,
    TextTest,
)
from homeport.dps.query.tokens import Token, TokenKind, refuse, tokens, unexpected

_SOURCES = frozenset({"enrollments", "enrollmentgroups", "registrations"})
_OPERATORS = {**{operator.value: operator for operator in Operator}, "<>": Operator.DIFFERENT}
_TURNED = {
    Operator.LESS: Operator.GREATER,
    Operator.GREATER: Operator.LESS,
    Operator.LESS_OR_EQUAL: Operator.GREATER_OR_EQUAL,
    Operator.GREATER_OR_EQUAL: Operator.LESS_OR_EQUAL,
}
_MAX_DEPTH = 32
_MAX_LIST = 100
_EXPECTED = {
    Kind.NAME: "a text in quotes",
    Kind.TEXT: "a text in quotes",
    Kind.TIME: "a time like '2026-01-31T12:00:00Z'",
    Kind.NUMBER: "a number",
    Kind.BOOL: "true or false",
    Kind.NAMES: "a text in quotes",
    Kind.FREE: "a text in quotes, a number, true or false",
}


def parse_query(text: str, schema: Schema) -> Query:
    """Read a query over items of this schema. Raises HomeportError INVALID_QUERY that says where it is wrong.

    The source behind FROM does not matter, as long as it is one: the request's path names it already (dps.md 8.6).
    """
    return _Parser(text, schema).query()


def continued_as(text: str, schema: Schema) -> str:
    """Return under which text a query's pages continue: the spellings of `SELECT *` are one query, others their text.

    Raises HomeportError INVALID_QUERY.
    """
    return "" if parse_query(text, schema) == Query() else text


class _Parser:
    def __init__(self, text: str, schema: Schema) -> None:
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0
        self._schema = schema

    # ---------------------------------------------------------------- the whole

    def query(self) -> Query:
        if self._here.kind is TokenKind.END:
            return Query()
        self._word("SELECT")
        self._sign("*")
        if self._took("FROM"):
            source = self._take()
            if source.kind is not TokenKind.WORD or source.text.lower() not in _SOURCES:
                raise unexpected(source, "enrollments, enrollmentGroups or registrations")
        condition = self._either() if self._took("WHERE") else None
        order = self._order() if self._took("ORDER") else None
        rest = self._take()
        if rest.kind is not TokenKind.END:
            raise unexpected(rest, "AND, OR, ORDER BY or the end of the query" if condition else "WHERE or ORDER BY")
        return Query(condition=condition, order=order)

    def _order(self) -> Order:
        self._word("BY")
        start = self._here
        operand = self._operand()
        key = {self._schema.id_field: SortKey.ID, self._schema.updated_field: SortKey.UPDATED}.get(operand.field.name)
        if key is None:
            expected = f"{self._schema.id_field} or {self._schema.updated_field}"
            raise refuse(f"Expected {expected} at position {start.position}; there is no order by anything else.")
        descending = self._took("DESC")
        if not descending:
            self._took("ASC")
        return Order(key=key, descending=descending)

    # ---------------------------------------------------------------- conditions

    def _either(self) -> Condition:
        parts = [self._all()]
        while self._took("OR"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Either(parts=tuple(parts))

    def _all(self) -> Condition:
        parts = [self._unit()]
        while self._took("AND"):
            parts.append(self._unit())
        return parts[0] if len(parts) == 1 else All(parts=tuple(parts))

    def _unit(self) -> Condition:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise refuse(f"The query is nested too deeply at position {self._here.position}.")
        try:
            if self._took("NOT"):
                return Not(part=self._unit())
            if self._here.is_sign("("):
                self._take()
                inner = self._either()
                self._sign(")")
                return inner
            return self._test()
        finally:
            self._depth -= 1

    def _test(self) -> Condition:
        token = self._here
        if token.kind in {TokenKind.TEXT, TokenKind.NUMBER} or token.is_word("TRUE") or token.is_word("FALSE"):
            return self._turned()
        if token.kind is not TokenKind.WORD:
            raise unexpected(token, "a condition")
        if self._tokens[self._next + 1].is_sign("("):
            return self._function()
        operand = self._operand()
        if self._took("IS"):
            negated = self._took("NOT")
            self._word("NULL")
            return _negated(IsNull(operand=operand), negated=negated)
        negated = self._took("NOT")
        if self._took("IN"):
            return _negated(OneOf(operand=operand, literals=self._list(operand)), negated=negated)
        if self._took("LIKE"):
            return _negated(self._text_condition(operand, TextTest.LIKE), negated=negated)
        if negated:
            raise unexpected(self._here, "IN or LIKE")
        operator = self._operator("a comparison, IN, LIKE or IS")
        self._compares(operand, operator, token)
        return Comparison(operand=operand, operator=operator, literal=self._literal(operand))

    def _turned(self) -> Condition:
        """Read `literal operator field` or `literal [NOT] IN list-field`."""
        position = self._next
        self._take()
        negated = self._took("NOT")
        contained = self._took("IN")
        if negated and not contained:
            raise unexpected(self._here, "IN")
        operator = Operator.EQUAL if contained else self._operator("a comparison or IN")
        start = self._here
        operand = self._operand()
        behind, self._next = self._next, position
        if contained:
            if operand.field.kind is not Kind.NAMES:
                raise refuse(f"{operand.field.name} at position {start.position} is not a list.")
            literal = self._literal(operand)
            self._next = behind
            return _negated(TextCondition(operand=operand, test=TextTest.CONTAINS, text=str(literal)), negated=negated)
        self._compares(operand, operator, start)
        literal = self._literal(operand)
        self._next = behind
        return Comparison(operand=operand, operator=_TURNED.get(operator, operator), literal=literal)

    def _function(self) -> Condition:
        name = self._take()
        self._take()
        if name.is_word("IS_DEFINED") or name.is_word("IS_NULL"):
            operand = self._operand()
            self._sign(")")
            return IsDefined(operand=operand) if name.is_word("IS_DEFINED") else IsNull(operand=operand)
        spelling = "CONTAINS" if name.is_word("ARRAY_CONTAINS") else name.text.upper()
        if spelling not in {TextTest.STARTSWITH, TextTest.ENDSWITH, TextTest.CONTAINS}:
            raise unexpected(name, "STARTSWITH, ENDSWITH, CONTAINS, IS_DEFINED or a field")
        operand = self._operand()
        self._sign(",")
        condition = self._text_condition(operand, TextTest(spelling))
        self._sign(")")
        return condition

    def _text_condition(self, operand: Operand, test: TextTest) -> TextCondition:
        token = self._take()
        if token.kind is not TokenKind.TEXT:
            raise unexpected(token, "a text in quotes")
        kinds = {Kind.NAME, Kind.TEXT, Kind.FREE} | ({Kind.NAMES} if test is TextTest.CONTAINS else set())
        if operand.field.kind not in kinds:
            raise refuse(f"{operand.field.name} is a {operand.field.kind}: {test} before position {token.position} "
                         "needs a text.")  # fmt: skip
        caseless = operand.field.kind in {Kind.NAME, Kind.NAMES}
        return TextCondition(operand=operand, test=test, text=token.text.lower() if caseless else token.text)

    def _compares(self, operand: Operand, operator: Operator, token: Token) -> None:
        field = operand.field
        if field.kind is Kind.NAMES:
            raise refuse(f"{field.name} at position {token.position} is a list: ask with CONTAINS({field.name}, '…').")
        if field.kind is Kind.FREE and not operand.members:
            raise refuse(f"{field.name} at position {token.position} is a document: name a member of it.")
        if field.kind is Kind.BOOL and operator not in {Operator.EQUAL, Operator.DIFFERENT}:
            raise refuse(f"{field.name} at position {token.position} is true or false: only = and != compare it.")

    # ---------------------------------------------------------------- fields and values

    def _operand(self) -> Operand:
        first = self._take()
        if first.kind is not TokenKind.WORD:
            raise unexpected(first, "a field")
        path = [first.text]
        while True:
            if self._here.is_sign("."):
                self._take()
                member = self._take()
                if member.kind not in {TokenKind.WORD, TokenKind.NUMBER, TokenKind.TEXT}:
                    raise unexpected(member, "a member's name")
                path.append(member.text)
            elif self._here.is_sign("[") and self._tokens[self._next + 1].kind is TokenKind.TEXT:
                self._take()
                path.append(self._take().text)
                self._sign("]")
            else:
                break
        operand = self._schema.find(tuple(path))
        if operand is None:
            raise refuse(
                f"There is no field '{'.'.join(path)[:80]}' (position {first.position}); {self._schema.advice(path)}"
            )
        return operand

    def _list(self, operand: Operand) -> tuple[Literal, ...]:
        start = self._take()
        if not (start.is_sign("(") or start.is_sign("[")):
            raise unexpected(start, "a list in parentheses")
        self._compares(operand, Operator.EQUAL, start)
        closing = ")" if start.text == "(" else "]"
        literals = [self._literal(operand)]
        while self._here.is_sign(","):
            self._take()
            literals.append(self._literal(operand))
        if len(literals) > _MAX_LIST:
            raise refuse(f"The list at position {start.position} has more than {_MAX_LIST} values.")
        self._sign(closing)
        return tuple(literals)

    def _literal(self, operand: Operand) -> Literal:
        token, kind = self._take(), operand.field.kind
        value: Literal = None
        if token.kind is TokenKind.TEXT:
            if kind in {Kind.NAME, Kind.NAMES}:
                value = token.text.lower()
            elif kind in {Kind.TEXT, Kind.FREE}:
                value = token.text
            elif kind is Kind.TIME:
                value = _time(token.text)
        elif token.kind is TokenKind.NUMBER and kind in {Kind.NUMBER, Kind.FREE}:
            value = float(token.text) if any(sign in token.text for sign in ".eE") else int(token.text)
        elif kind in {Kind.BOOL, Kind.FREE} and (token.is_word("TRUE") or token.is_word("FALSE")):
            value = token.is_word("TRUE")
        if value is None:
            hint = "; ask for missing values with IS NULL" if token.is_word("NULL") else ""
            raise refuse(
                f"Expected {_EXPECTED[kind]} at position {token.position}, for {operand.field.name} is a {kind}; "
                f"found {token.shown}{hint}."
            )
        return value

    def _operator(self, expected: str) -> Operator:
        token = self._take()
        operator = _OPERATORS.get(token.text) if token.kind is TokenKind.SIGN else None
        if operator is None:
            raise unexpected(token, expected)
        return operator

    # ---------------------------------------------------------------- tokens

    @property
    def _here(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._here
        if token.kind is not TokenKind.END:
            self._next += 1
        return token

    def _took(self, word: str) -> bool:
        if self._here.is_word(word):
            self._next += 1
            return True
        return False

    def _word(self, word: str) -> None:
        token = self._take()
        if not token.is_word(word):
            raise unexpected(token, word)

    def _sign(self, sign: str) -> None:
        token = self._take()
        if not token.is_sign(sign):
            raise unexpected(token, sign)


def _negated(condition: Condition, *, negated: bool) -> Condition:
    return Not(part=condition) if negated else condition


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        # Beyond the calendar's ends a zone cannot be taken off.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
