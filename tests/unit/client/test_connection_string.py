"""Connection strings: what is read, what is refused, and that no refusal repeats a key."""

from datetime import UTC, datetime

import pytest

from homeport.client import ConnectionStringError
from homeport.client.connection_string import parse_connection_string
from homeport.security.sas import parse_token

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
NOW = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
HOST = "contoso-dps.azure-devices-provisioning.net"


def test_the_contracts_service_token() -> None:
    credential = parse_connection_string(
        f"HostName={HOST};SharedAccessKeyName=provisioningserviceowner;SharedAccessKey={KEY}"
    )
    # Contract dps.md 14.3.
    assert credential.authorization(NOW) == (
        f"SharedAccessSignature sr={HOST}&sig=EJb5%2BWMqLXt3SQD%2FKG9eWN4jOttDfubBo9EF%2F4O9394%3D"
        "&se=1700003600&skn=provisioningserviceowner"
    )


def test_a_port_is_for_connecting_only() -> None:
    credential = parse_connection_string(f"SharedAccessKey={KEY};sharedaccesskeyname=p; HostName=localhost:8443;")
    assert credential.authority == "localhost:8443"
    assert parse_token(credential.authorization(NOW)).resource == "localhost"


def test_a_ready_token() -> None:
    token = "SharedAccessSignature sr=h&sig=abc%3D&se=1"
    assert parse_connection_string(f"HostName=h;SharedAccessSignature={token}").authorization(NOW) == token


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "nonsense",
        f"SharedAccessKeyName=p;SharedAccessKey={KEY}",
        f"HostName=;SharedAccessKeyName=p;SharedAccessKey={KEY}",
        f"HostName=https://h;SharedAccessKeyName=p;SharedAccessKey={KEY}",
        f"HostName=u@h;SharedAccessKeyName=p;SharedAccessKey={KEY}",
        f"HostName=h h;SharedAccessKeyName=p;SharedAccessKey={KEY}",
        f"HostName=h;HostName=h;SharedAccessKeyName=p;SharedAccessKey={KEY}",
        f"HostName=h;DeviceId=d;SharedAccessKey={KEY}",
        f"HostName=h;SharedAccessKey={KEY}",
        "HostName=h;SharedAccessKeyName=p",
        "HostName=h;SharedAccessKeyName=p;SharedAccessKey=!!!!c2VjcmV0",
        "HostName=h;SharedAccessKeyName=p;SharedAccessKey=c2VjcmV0",
        "HostName=h;SharedAccessSignature=c2VjcmV0",
    ],
)
def test_refusals_repeat_no_key(text: str) -> None:
    with pytest.raises(ConnectionStringError) as caught:
        parse_connection_string(text)
    assert KEY not in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)


def test_a_credential_shows_no_key() -> None:
    credential = parse_connection_string(f"HostName=h;SharedAccessKeyName=p;SharedAccessKey={KEY}")
    assert "key" not in repr(credential)
