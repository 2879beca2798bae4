"""The server's own certificates: what is in them, and when a new one is due."""

import datetime as dt
import ssl

import pytest
from cryptography import x509

from homeport.app.pki import CA_LIFE, RENEW_BEFORE, SERVER_LIFE, create_root_ca, is_due, issue_server_certificate

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
NAMES = ("localhost", "127.0.0.1", "::1", "hub.example.com")


def test_the_server_certificate_carries_every_name_in_its_kind() -> None:
    ca = create_root_ca(name="root", now=NOW)
    server = issue_server_certificate(ca, names=NAMES, now=NOW).parsed()
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "hub.example.com"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    server.verify_directly_issued_by(ca.parsed())


def test_a_strict_client_library_trusts_the_root() -> None:
    context = ssl.create_default_context(cadata=create_root_ca(name="root", now=NOW).certificate.decode())
    assert len(context.get_ca_certs()) == 1


def test_the_root_signs_servers_and_nothing_below_them() -> None:
    root = create_root_ca(name="root", now=NOW).parsed()
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)


@pytest.mark.parametrize(
    ("later", "names", "due"),
    [
        (dt.timedelta(0), NAMES, False),
        (SERVER_LIFE - RENEW_BEFORE - dt.timedelta(seconds=2), NAMES, False),
        (SERVER_LIFE - RENEW_BEFORE + dt.timedelta(seconds=2), NAMES, True),
        (dt.timedelta(0), NAMES[:2], False),
        (dt.timedelta(0), (*NAMES, "another.example.com"), True),
    ],
)
def test_a_new_certificate_is_due(later: dt.timedelta, names: tuple[str, ...], due: bool) -> None:
    ca = create_root_ca(name="root", now=NOW)
    server = issue_server_certificate(ca, names=NAMES, now=NOW)
    assert is_due(server, ca, names=names, now=NOW + later) is due


def test_another_root_makes_a_new_certificate_due() -> None:
    server = issue_server_certificate(create_root_ca(name="root", now=NOW), names=NAMES, now=NOW)
    assert is_due(server, create_root_ca(name="root", now=NOW), names=NAMES, now=NOW)


def test_a_server_certificate_never_outlives_its_root() -> None:
    ca = create_root_ca(name="root", now=NOW)
    late = NOW + CA_LIFE - dt.timedelta(days=1)
    server = issue_server_certificate(ca, names=NAMES, now=late).parsed()
    assert server.not_valid_after_utc == ca.parsed().not_valid_after_utc
