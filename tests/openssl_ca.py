"""A certificate authority run with OpenSSL's own tools: real CRLs, and a real OCSP responder."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONFIG = """
[ca]
default_ca = it
[it]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
serial = {folder}/serial
crlnumber = {folder}/crlnumber
default_md = sha256
default_days = 90
default_crl_days = 7
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = names
[names]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign, digitalSignature
subjectKeyIdentifier = hash
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{urls}
[device]
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{urls}
[responder]
basicConstraints = CA:FALSE
extendedKeyUsage = OCSPSigning
noCheck = ignored
"""


class OpensslCa:
    """Keeps everything in one folder; certificates lie beside their keys, as `name.pem` and `name.key`."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        issuer: "OpensslCa | None" = None,
        crl_url: str | None = None,
        ocsp_url: str | None = None,
    ) -> None:
        """Make the authority's key and certificate; the addresses go into what it issues."""
        folder.mkdir(parents=True)
        self.folder, self.name, self.issuer = folder, name, issuer
        urls = [
            f"crlDistributionPoints = URI:{crl_url}" if crl_url else "",
            f"authorityInfoAccess = OCSP;URI:{ocsp_url}" if ocsp_url else "",
        ]
        self._config = folder / "ca.cnf"
        text = _CONFIG.format(folder=folder, urls="\n".join(urls)).replace("noCheck = ignored\n", "")
        self._config.write_text(text)
        for file, content in {"index.txt": "", "serial": "1000\n", "crlnumber": "01\n"}.items():
            (folder / file).write_text(content)
        if issuer is None:
            openssl(
                *("req", "-new", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
                *("-keyout", self.key, "-out", self.certificate, "-subj", f"/CN={name}", "-days", "90"),
                *("-config", self._config, "-extensions", "root"),
            )
        else:
            issuer._sign(name, self.key, self.certificate, "authority")  # of the same class

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def key(self) -> Path:
        return self.folder / "ca.key"

    def issue(self, name: str, *, kind: str = "device") -> tuple[Path, Path]:
        """Return the files of a new certificate, with its issuers below the root behind it, and of its key."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        self._sign(name, key, certificate, kind)
        chain = certificate.read_text() + self._chain()
        certificate.write_text(chain)
        return certificate, key

    def revoke(self, certificate: Path, reason: str = "keyCompromise") -> None:
        openssl("ca", "-config", self._config, "-revoke", certificate, "-crl_reason", reason)

    def crl(self, *options: str) -> Path:
        """Return the file of a fresh list."""
        file = self.folder / "ca.crl"
        openssl("ca", "-config", self._config, "-gencrl", "-out", file, *options)
        return file

    @contextmanager
    def responder(self, port: int, *, delegated: bool = True) -> Iterator[None]:
        """Run an OCSP responder; a delegated one signs with a certificate of its own."""
        signer, key = (self.issue("responder", kind="responder")) if delegated else (self.certificate, self.key)
        command = [
            *("openssl", "ocsp", "-index", self.folder / "index.txt", "-CA", self.certificate),
            *("-port", str(port), "-rsigner", signer, "-rkey", key, "-nmin", "5", "-ignore_err"),
        ]
        with (self.folder / "ocsp.log").open("w") as log:
            process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
            try:
                _wait_for(self.folder / "ocsp.log", process)
                yield
            finally:
                process.terminate()
                process.wait(10)

    def _chain(self) -> str:
        return "" if self.issuer is None else self.certificate.read_text() + self.issuer._chain()

    def _sign(self, name: str, key: Path, certificate: Path, kind: str) -> None:
        request = key.with_suffix(".csr")
        openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", key, "-out", request, "-subj", f"/CN={name}", "-config", self._config),
        )
        openssl(
            *("ca", "-config", self._config, "-batch", "-notext", "-in", request, "-out", certificate),
            *("-extensions", kind),
        )


def openssl(*words: str | Path) -> str:
    """Run OpenSSL and return what it prints."""
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _wait_for(log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while "waiting for OCSP" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
