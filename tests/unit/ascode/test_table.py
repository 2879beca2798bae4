"""Lines of a table become enrollments or say what is wrong with them; nothing is lost in between."""

from pathlib import Path

import pytest

from homeport.ascode.checkpoint import Checkpoint, CheckpointError
from homeport.ascode.table import Line, TableError, read_table


def lines(folder: Path, text: str) -> list[Line]:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return list(read_table(folder / "t.csv"))


def test_columns_become_members(tmp_path: Path) -> None:
    (tmp_path / "d.pem").write_text("PEM")
    first, second, third, fourth = lines(
        tmp_path,
        "\ufeffRegistrationId,deviceId,primaryKey,endorsementKey,certificate,iotHubs,iotEdge,tags.a.b,desired.n\n"
        "one,dev,a2V5,,,h1; h2,yes,x,3\n"
        "two,,,EK,,,,,\n"
        "\n"
        "three,,,,file:d.pem,,,,\n"
        'four,,,,,,,"[1, {""x"": null}]",007\n',
    )
    assert first.document == {
        "registrationId": "one",
        "deviceId": "dev",
        "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "a2V5"}},
        "iotHubs": ["h1", "h2"],
        "capabilities": {"iotEdge": True},
        "initialTwin": {"tags": {"a": {"b": "x"}}, "properties": {"desired": {"n": 3}}},
    }
    assert second.document["attestation"] == {"type": "tpm", "tpm": {"endorsementKey": "EK"}}
    assert third.document["attestation"]["x509"] == {"clientCertificates": {"primary": {"certificate": "PEM"}}}
    assert fourth.document["attestation"] == {"type": "symmetricKey"}
    assert fourth.document["initialTwin"] == {
        "tags": {"a": {"b": [1, {"x": None}]}},
        "properties": {"desired": {"n": "007"}},
    }
    assert [line.number for line in (first, second, third, fourth)] == [2, 3, 5, 6]


def test_each_wrong_line_is_told_by_number_and_the_others_go_on(tmp_path: Path) -> None:
    found = lines(
        tmp_path,
        "registrationId,attestation,primaryKey,endorsementKey,certificate,iotEdge,tags.a,tags.a.b\n"
        "a,,,,,,,\n"
        "A,,,,,,,\n"
        ",,,,,,,\n"
        ",x509,,,,,,\n"
        "b,what,,,,,,\n"
        "c,,k,e,,,,\n"
        "d,tpm,,,,,,\n"
        "e,,,,file:gone.pem,,,\n"
        "f,,,,,perhaps,,\n"
        "g,,,,,,1,2\n"
        "h,,\n"
        "i,,,,,,,\n",
    )
    assert [(line.number, line.name) for line in found if line.problem is None] == [(2, "a"), (13, "i")]
    told = {line.number: line.problem for line in found if line.problem}
    assert told[3] == "line 2 has the same registration id"
    assert told[5] == "it has no registrationId"
    for number, part in {6: "none of", 7: "symmetricKey and tpm", 8: "endorsementKey", 9: "No such file", 10: "neither",
                         11: "below a column", 12: "3 cells"}.items():  # fmt: skip
        assert part in (told[number] or "")
    assert 4 not in told


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "registrationId"),
        ("deviceId\n", "registrationId"),
        ("registrationId,nonsense\n", "'nonsense' is no column"),
        ("registrationId,RegistrationID\n", "stands twice"),
        ('registrationId,deviceId\na,"b\n', "line"),
        (f"registrationId\n{'x' * 200_000}\n", "line 2"),
    ],
)
def test_a_table_that_is_none(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(TableError, match=part):
        lines(tmp_path, text)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"registrationId\n\xff\xfe\n")
    with pytest.raises(TableError, match="UTF-8"):
        list(read_table(tmp_path / "t.csv"))


def test_progress_belongs_to_one_content(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("registrationId\na\n")
    first = Checkpoint.of(table)
    assert first.line == 0
    first.advance(7)
    assert Checkpoint.of(table).line == 7
    table.write_text("registrationId\nb\n")
    assert Checkpoint.of(table).line == 0
    first.path.write_text("nonsense")
    with pytest.raises(CheckpointError):
        Checkpoint.of(table)
    first.clear()
    first.clear()
    assert Checkpoint.of(table).line == 0
