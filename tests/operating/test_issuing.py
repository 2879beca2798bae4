"""The howto on certificates, done as it says; and issuing with a key in a token and master keys of one's own."""

import base64
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.certificates import make_certificate
from tests.server import HOMEPORT, HomeportServer, ServerFailedError

ADDRESSES = ("127.0.75.1",)
OTHERS = ("127.0.76.1",)
"""For the servers beside the one that the first tests share."""
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "certificate-issuance.md"
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path_factory.mktemp("issuing") / "data", ADDRESSES) as running:
        yield running


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(sh|yaml|python)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_howto_can_be_followed(server: HomeportServer, tmp_path: Path) -> None:
    homeport = tmp_path / "bin" / "homeport"
    homeport.parent.mkdir()
    homeport.write_text(f'#!/bin/sh\nexec {" ".join(HOMEPORT)} "$@"\n')
    homeport.chmod(0o700)
    environment = os.environ | server.connection() | {
        "HOMEPORT_DATA": str(server.data),
        "PATH": f"{homeport.parent}:{os.environ['PATH']}",
        "PRESS_1": base64.b64encode(os.urandom(32)).decode(),
    }  # fmt: skip
    printed = []
    for kind, text in blocks():
        match kind:
            case "yaml":
                (tmp_path / "site.yaml").write_text(text)
                continue
            case "sh":
                command = ["sh", "-euc", text]
            case _:
                command = [sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        printed.append(done.stdout)
    text = "".join(printed)
    assert "press-1" in text
    assert "revoked" in text
    crl = x509.load_der_x509_crl((tmp_path / "line-7.crl").read_bytes())
    assert len(crl) == 1
    assert (tmp_path / "device.key").stat().st_mode & 0o777 == 0o600


def test_commands_say_what_they_did(server: HomeportServer, tmp_path: Path) -> None:
    made = server.run("authority", "create", "printed", "--key-type", "EC-P384")
    assert "Authority printed issues as CN=printed, version 1" in made.stdout
    assert "sealed under the master key" in made.stdout
    root = make_certificate("brought", ca=True)
    chain, key = root.write(tmp_path)
    brought = server.run("authority", "import", "brought", str(chain), "--key", str(key))
    assert "CN=brought" in brought.stdout
    assert server.run("authority", "chain", "brought").stdout == root.pem
    assert "brought" in server.run("authority", "list").stdout
    policy = server.run("authority", "policy", "set", "printed-policy", "--authority", "printed", "--validity", "12h")
    assert "issues for 12h, renewed 4h before the end" in policy.stdout
    assert "printed-policy" in server.run("authority", "policy", "list").stdout
    refused = server.run("authority", "delete", "printed", check=False)
    assert (refused.returncode, "printed-policy is its" in refused.stderr) == (1, True)
    server.run("authority", "policy", "delete", "printed-policy")
    server.run("authority", "delete", "printed")
    for wrong in (("authority", "create", "printed", "--validity", "soon"), ("authority", "revoke")):
        assert server.run(*wrong, check=False).returncode == 2
    unknown = server.run("authority", "revoke", "--device", "nobody", check=False)
    assert (unknown.returncode, "no valid certificate" in unknown.stderr) == (1, True)


def test_the_database_alone_gives_no_keys_away(tmp_path: Path) -> None:
    keys = [base64.b64encode(os.urandom(32)).decode() for _ in range(2)]
    data = tmp_path / "data"
    with HomeportServer(data, OTHERS, env={"HOMEPORT_MASTER_KEY": keys[0]}) as server:
        server.run("authority", "create", "sealed")
        rotated = server.run("authority", "rotate-master-key", check=False)
        assert (rotated.returncode, "changed there" in rotated.stderr) == (1, True)
        assert server.stop() == 0
    assert not (data / "master.key").exists()
    file = tmp_path / "keys"
    file.write_text(keys[1])
    file.chmod(0o600)
    with HomeportServer(data, OTHERS, "--key-file", str(file)) as server:
        assert "certificate authority sealed cannot issue" in server.log.read_text()
        refused = server.run("authority", "rotate", "sealed", check=False)
        assert refused.returncode == 0, "a new key is sealed under the present master key"
        assert server.stop() == 0
    file.write_text(f"{keys[1]}\n{keys[0]}")
    server = HomeportServer(data, OTHERS, "--key-file", str(file))
    server.log.unlink()
    with server:
        assert "cannot issue" not in server.log.read_text()
        assert "2 private keys are sealed" in server.run("authority", "rotate-master-key").stdout
        assert keys[0] not in file.read_text()
        assert keys[1] not in file.read_text()
        assert server.stop() == 0


@pytest.mark.parametrize("content", ["nonsense", ""])
def test_an_unusable_master_key_stops_the_start(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    file.chmod(0o600)
    server = HomeportServer(tmp_path / "data", OTHERS, "--key-file", str(file))
    with pytest.raises(ServerFailedError, match="master key file"):
        server.start()
    assert server.wait() == 1


def test_a_key_that_never_leaves_its_token(tmp_path: Path) -> None:
    if not SOFTHSM.exists():
        pytest.skip("SoftHSM is not installed")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    (tmp_path / "pin").write_text("1234\n")
    softhsm = {"SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf")}
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "my-hsm", "--pin", "1234", "--so-pin", "5678"],
        env=os.environ | softhsm,
        check=True,
        capture_output=True,
    )
    pins = {"HOMEPORT_PKCS11_MODULE": str(SOFTHSM), "HOMEPORT_PKCS11_PIN_FILE": str(tmp_path / "pin")}
    with HomeportServer(tmp_path / "data", OTHERS, env=softhsm | pins) as server:
        made = server.run("authority", "create", "line-8", "--key-uri", "pkcs11:token=my-hsm;object=line-8")
        assert "in the token (pkcs11:token=my-hsm;object=line-8)" in made.stdout
        server.run("authority", "create", "below", "--issuer", "line-8")
        rotated = server.run("authority", "rotate", "line-8")
        assert "object=line-8-v2" in rotated.stdout
        server.run("authority", "crl", "line-8", "--out", str(tmp_path / "crl"))
        chain = server.run("authority", "chain", "below").stdout
        assert server.stop() == 0
    issuer, root = x509.load_pem_x509_certificates(chain.encode())
    issuer.verify_directly_issued_by(root)
    # Without the module the server starts, and says which authority cannot issue.
    with HomeportServer(tmp_path / "data", OTHERS) as server:
        assert "certificate authority line-8 cannot issue" in server.log.read_text()
