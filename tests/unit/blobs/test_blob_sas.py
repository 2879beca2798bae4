"""Signatures for blobs: Microsoft's own library makes the same, and each field that is changed breaks them."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from azure.storage.blob import BlobSasPermissions, ContainerSasPermissions, generate_blob_sas, generate_container_sas
from hypothesis import given
from hypothesis import strategies as st

from homeport.security.blob_sas import StorageAccount, StorageStringError, parse_connection_string, permits, sign

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ACCOUNT = StorageAccount(name="acct", key=b"0123456789abcdef" * 2, endpoint="https://acct.blob.core.windows.net")


def fields(token: str) -> dict[str, str]:
    return dict(parse_qsl(token, keep_blank_values=True, strict_parsing=True))


def judged(given_fields: dict[str, str], blob: str | None = "d1/x.txt", any_of: str = "w", now: datetime = NOW) -> bool:
    return permits(ACCOUNT, "c", blob, given_fields, any_of=any_of, now=now) is None


def test_microsofts_library_makes_ours() -> None:
    ours = fields(sign(ACCOUNT, "c", "d1/ä b+c.txt", permissions="wr", start=NOW, end=NOW + HOUR))
    # The library signs for a version of its own, which is the only field in which the two differ.
    theirs = fields(
        generate_blob_sas(
            "acct",
            "c",
            "d1/ä b+c.txt",
            account_key=KEY,
            permission=BlobSasPermissions(read=True, write=True),
            start=NOW,
            expiry=NOW + HOUR,
            protocol="https",
        )
    )
    assert ours.keys() == theirs.keys()
    assert {name for name in ours if ours[name] != theirs[name]} == {"sv", "sig"}
    assert judged(theirs, "d1/ä b+c.txt")


def test_microsofts_signature_of_a_container_opens_its_blobs() -> None:
    theirs = fields(
        generate_container_sas(
            "acct",
            "c",
            account_key=KEY,
            permission=ContainerSasPermissions(read=True, list=True),
            expiry=NOW + HOUR,
        )
    )
    assert judged(theirs, None, "l")
    assert judged(theirs, "any", "r")
    assert not judged(theirs, "any", "w")


@pytest.mark.parametrize(
    ("blob", "any_of", "now"),
    [
        ("d1/y.txt", "w", NOW),
        (None, "l", NOW),
        ("d1/x.txt", "d", NOW),
        ("d1/x.txt", "w", NOW + HOUR),
        ("d1/x.txt", "w", NOW - HOUR),
    ],
)
def test_what_a_signature_does_not_open(blob: str | None, any_of: str, now: datetime) -> None:
    token = fields(sign(ACCOUNT, "c", "d1/x.txt", permissions="rw", start=NOW, end=NOW + HOUR))
    assert judged(token)
    assert not judged(token, blob, any_of, now)


@pytest.mark.parametrize("name", ["sp", "se", "st", "sr", "sv", "sig", "spr"])
@given(value=st.text(max_size=40))
def test_a_changed_field_breaks_it(name: str, value: str) -> None:
    token = fields(sign(ACCOUNT, "c", "d1/x.txt", permissions="rw", start=NOW, end=NOW + HOUR))
    changed = token | {name: value}
    assert judged(changed) == (changed == token)


def test_another_key_opens_nothing() -> None:
    other = StorageAccount(name="acct", key=b"x" * 32, endpoint=ACCOUNT.endpoint)
    assert not judged(fields(sign(other, "c", "d1/x.txt", permissions="rw", start=NOW, end=NOW + HOUR)))


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        (f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY}", "https://a.blob.core.windows.net"),
        (
            f"AccountName=a;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn",
            "https://a.blob.core.chinacloudapi.cn",
        ),
        (f"AccountName=a;AccountKey={KEY};BlobEndpoint=https://127.0.0.1:10000/a/;", "https://127.0.0.1:10000/a"),
    ],
)
def test_connection_strings(text: str, endpoint: str) -> None:
    account = parse_connection_string(text)
    assert (account.name, account.key, account.endpoint) == ("a", ACCOUNT.key, endpoint)
    assert KEY not in repr(account)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AccountName=a",
        "AccountName=a;AccountKey=%%",
        f"AccountKey={KEY}",
        "UseDevelopmentStorage=true",
        f"AccountName=a;AccountKey={KEY};BlobEndpoint=ftp://a",
        f"AccountName=a;AccountKey={KEY};BlobEndpoint=https://a:x",
        f"AccountName=a;AccountKey={KEY};BlobEndpoint=https://a/?q",
    ],
)
def test_connection_strings_that_are_none(text: str) -> None:
    with pytest.raises(StorageStringError) as refused:
        parse_connection_string(text)
    assert KEY not in str(refused.value)
