import pytest

from homeport.store.dialect import numbered, open_asides, statements
from homeport.store.sqlite import drive


@pytest.mark.parametrize(
    ("sql", "text", "names"),
    [
        ("SELECT 1", "SELECT 1", ()),
        ("a = :a AND b = :b_c OR c = :a", "a = $1 AND b = $2 OR c = $1", ("a", "b_c")),
        ("x::text = :x", "x::text = $1", ("x",)),
        ("(:a,:b)", "($1,$2)", ("a", "b")),
        ("LIMIT :n /*postgres FOR UPDATE*/ /*sqlite NEVER :m*/", "LIMIT $1 FOR UPDATE ", ("n",)),
    ],
)
def test_named_parameters_become_numbers(sql: str, text: str, names: tuple[str, ...]) -> None:
    assert numbered(sql) == (text, names)


def test_an_aside_is_for_one_dialect() -> None:
    sql = "n /*sqlite INTEGER*/ /*postgres BIGINT*/ KEY /* kept */"
    assert open_asides(sql, "sqlite") == "n INTEGER  KEY /* kept */"
    assert open_asides(sql, "postgres") == "n  BIGINT KEY /* kept */"


def test_a_script_is_split_at_the_ends_of_lines() -> None:
    script = "-- why; not\nCREATE TABLE a (\n    n TEXT\n);\n\n  -- more\nINSERT INTO a VALUES ('x;y');  \nDROP TABLE a"
    assert statements(script, "sqlite") == [
        "CREATE TABLE a (\n    n TEXT\n)",
        "INSERT INTO a VALUES ('x;y')",
        "DROP TABLE a",
    ]


def test_a_coroutine_that_never_suspends_is_driven_to_its_end() -> None:
    async def inner() -> int:
        return 20

    async def outer() -> int:
        return await inner() + await inner() + 2

    assert drive(outer()) == 42
