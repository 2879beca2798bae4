"""An operator says where files of devices go, and reads them with the address that is printed."""

import ssl
from collections.abc import Iterator

import httpx
import pytest

from tests.server import HomeportServer

ADDRESS = "127.0.76.1"
SECRET = "c2VjcmV0IGtleSBvZiBhbiBhY2NvdW50"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path_factory.mktemp("files") / "data", (ADDRESS,)) as running:
        yield running


def test_the_address_that_is_printed_lists_the_files(server: HomeportServer) -> None:
    printed = server.run("hub", "files", "hub1").stdout
    assert "below the data directory" in printed
    url = printed.splitlines()[-1]
    context = ssl.create_default_context(cafile=server.connection()["HOMEPORT_CA_FILE"])
    answer = httpx.get(f"{url}&restype=container&comp=list", verify=context)
    assert answer.status_code == 200
    assert "<Blobs></Blobs>" in answer.text
    assert httpx.get(url.replace("sig=", "sig=x"), verify=context).status_code == 403


def test_an_account_and_back(server: HomeportServer) -> None:
    string = f"AccountName=acct;AccountKey={SECRET}"
    printed = server.run("hub", "files", "hub1", "--connection-string", string, "--container", "my-files").stdout
    assert "https://acct.blob.core.windows.net/my-files" in printed
    assert SECRET not in printed
    printed = server.run("hub", "files", "hub1", "--built-in", "--life", "600", "--no-notifications").stdout
    assert "below the data directory; nobody is told" in printed
    assert "600 s" in printed
    assert "takes no files" in server.run("hub", "files", "hub1", "--off").stdout
    assert "below the data directory" in server.run("hub", "files", "hub1", "--on").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nohub",), "no hub 'nohub'"),
        (("hub1", "--connection-string", "AccountName=a"), "AccountKey"),
        (("hub1", "--built-in", "--container", "c"), "--built-in goes without"),
    ],
)
def test_what_cannot_be(server: HomeportServer, arguments: tuple[str, ...], told: str) -> None:
    refused = server.run("hub", "files", *arguments, check=False)
    assert refused.returncode == 1
    assert told in refused.stderr
