"""Declarations: three formats say the same, references are resolved where they may stand, problems come together."""

import json
from pathlib import Path

import pytest

from homeport.ascode.files import MAX_REFERENCED_BYTES, DeclarationError, read_declarations

SECTIONS = ("hubs", "enrollments")

YAML = """
enrollments:
  press-1:
    attestation: {type: symmetricKey, symmetricKey: {primaryKey: env:KEY}}
    initialTwin: {tags: {since: 2024-01-01, primary: env:KEY, open: true}}
"""
TOML = """
[enrollments.press-1.attestation]
type = "symmetricKey"
symmetricKey.primaryKey = "env:KEY"
[enrollments.press-1.initialTwin.tags]
since = 2024-01-01
primary = "env:KEY"
open = true
"""
DOCUMENT = {
    "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "c2VjcmV0"}},
    "initialTwin": {"tags": {"since": "2024-01-01", "primary": "env:KEY", "open": True}},
}
AS_WRITTEN = json.loads(json.dumps(DOCUMENT).replace("c2VjcmV0", "env:KEY"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", YAML),
        ("a.toml", TOML),
        ("a.json", json.dumps({"enrollments": {"press-1": AS_WRITTEN}})),
        ("a.jsonl", json.dumps({"section": "enrollments", "name": "press-1", "document": AS_WRITTEN}) + "\n\n"),
    ],
)
def test_every_format_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = read_declarations([tmp_path], SECTIONS, {"KEY": "c2VjcmV0"})
    assert found["enrollments"]["press-1"].document == DOCUMENT
    assert "hubs" not in found


def test_a_file_is_looked_for_beside_the_declaration(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "ca.pem").write_text("PEM\n")
    (tmp_path / "inner" / "a.yaml").write_text("enrollments: {a: {x: {certificate: file:ca.pem}}}")
    found = read_declarations([tmp_path / "inner" / "a.yaml"], SECTIONS, {})
    assert found["enrollments"]["a"].document == {"x": {"certificate": "PEM"}}


def test_all_problems_are_told_together_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("enrollments: {a: {}, A: {}, b: 1}\nwhat: {}")
    (tmp_path / "b.toml").write_text("enrollments = 3")
    (tmp_path / "c.json").write_text('{"hubs": {"a": {}, "a": {}}}')
    (tmp_path / "d.yaml").write_text("hubs: {c: {}, c: {}}")
    (tmp_path / "e.yaml").write_text("hubs: {h: {connectionString: env:GONE, caCertificates: file:gone.pem}}")
    (tmp_path / "f.toml").write_text("= = my-secret")
    (tmp_path / "g.jsonl").write_text('{"section": "hubs"}')
    (tmp_path / "big.pem").write_bytes(b"x" * (MAX_REFERENCED_BYTES + 1))
    (tmp_path / "h.yaml").write_text("hubs: {big: {caCertificates: file:big.pem}}")
    with pytest.raises(DeclarationError) as caught:
        read_declarations([tmp_path, tmp_path / "a.txt"], SECTIONS, {"OTHER": "my-secret"})
    told = "\n".join(problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems)
    for part in (
        "a.yaml: enrollments.A is declared in", "a.yaml: enrollments.b is not a table", "'what' is no section",
        "b.toml: enrollments is not a table", "c.json: 'a' stands twice", "d.yaml: 'c' stands twice (line 1)",
        "e.yaml: hubs.h.connectionString: the environment variable GONE is not set",
        "e.yaml: hubs.h.caCertificates: gone.pem: No such file", "f.toml: ", "g.jsonl: line 1 is not an object",
        "h.yaml: hubs.big.caCertificates: big.pem is larger", "a.txt: the name does not end in",
    ):  # fmt: skip
        assert part in told
    assert "my-secret" not in told


def test_yaml_that_never_ends_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("[" * 5000)
    (tmp_path / "b.json").write_text("[" * 100_000)
    with pytest.raises(DeclarationError) as caught:
        read_declarations([tmp_path], SECTIONS, {})
    assert len(caught.value.problems) == 2
