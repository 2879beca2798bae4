"""`homeport trust`: how each SDK and operating system is made to trust this server's CA (contract dps.md 12.1)."""

from typing import Annotated

import typer
from msgspec import Struct

from homeport.cli.console import DataOption, connection_info, fail, out


class Recipe(Struct, frozen=True):
    """What to do on one platform; `{ca}` stands for the CA file."""

    title: str
    steps: str


RECIPES = {
    "python": Recipe(
        "Python device SDK (azure-iot-device)",
        "Give the certificate's text to each client:\n"
        '    ca = open("{ca}").read()\n'
        "    ProvisioningDeviceClient.create_from_symmetric_key(…, server_verification_cert=ca)\n"
        "    IoTHubDeviceClient.create_from_symmetric_key(…, server_verification_cert=ca)",
    ),
    "python-service": Recipe(
        "Python service SDKs (azure-iot-hub, azure-iothub-provisioningserviceclient)",
        "They read the environment:\n    export REQUESTS_CA_BUNDLE={ca}",
    ),
    "event-hubs": Recipe(
        "Event Hubs clients (azure-eventhub, @azure/event-hubs)",
        "Python takes it as an argument, Node reads the environment:\n"
        '    EventHubConsumerClient.from_connection_string(…, connection_verify="{ca}")\n'
        "    export NODE_EXTRA_CA_CERTS={ca}",
    ),
    "node": Recipe(
        "Node.js SDKs, device and service",
        "Node reads the environment when it starts:\n    export NODE_EXTRA_CA_CERTS={ca}",
    ),
    "csharp": Recipe(
        ".NET SDKs",
        "Linux: .NET reads OpenSSL's store:\n"
        "    export SSL_CERT_FILE={ca}      (this one only), or install it as under `debian`\n"
        "Windows: install it as under `windows`.\n"
        "MQTT and AMQP transports also take a RemoteCertificateValidationCallback.",
    ),
    "java": Recipe(
        "Java SDKs",
        "Import it into a trust store and start the JVM with that:\n"
        "    keytool -importcert -noprompt -alias homeport -file {ca} -keystore homeport.jks -storepass changeit\n"
        "    java -Djavax.net.ssl.trustStore=homeport.jks -Djavax.net.ssl.trustStorePassword=changeit …",
    ),
    "c": Recipe(
        "C SDK",
        "Give the certificate's text to each handle:\n"
        "    Prov_Device_SetOption(handle, OPTION_TRUSTED_CERT, pem);\n"
        "    IoTHubDeviceClient_SetOption(handle, OPTION_TRUSTED_CERT, pem);\n"
        "    prov_sc_set_certificate(service_handle, pem);",
    ),
    "edge": Recipe(
        "IoT Edge",
        'In /etc/aziot/config.toml:\n    trust_bundle_cert = "file://{ca}"\n    [provisioning] global_endpoint = "https://…"',
    ),
    "cli": Recipe("Azure CLI (azure-iot extension)", "    export REQUESTS_CA_BUNDLE={ca}"),
    "curl": Recipe("curl", "    curl --cacert {ca} https://…"),
    "debian": Recipe(
        "Debian, Ubuntu (system store)",
        "    sudo cp {ca} /usr/local/share/ca-certificates/homeport.crt && sudo update-ca-certificates",
    ),
    "redhat": Recipe(
        "Fedora, Red Hat (system store)",
        "    sudo cp {ca} /etc/pki/ca-trust/source/anchors/homeport.pem && sudo update-ca-trust",
    ),
    "macos": Recipe(
        "macOS (system store)",
        "    sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {ca}",
    ),
    "windows": Recipe("Windows (machine store)", "    certutil -addstore -f Root {ca}"),
}


def trust(
    platform: Annotated[
        str | None, typer.Argument(help=f"One of: {', '.join(RECIPES)}. All of them when left out.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Say how to make an SDK or operating system trust this server's certificate."""
    if platform is not None and platform not in RECIPES:
        raise fail(f"nothing is known about {platform!r}. Known: {', '.join(RECIPES)}.")
    ca_file = connection_info(data).ca_file
    chosen = RECIPES if platform is None else {platform: RECIPES[platform]}
    for name, recipe in chosen.items():
        out.print(f"[bold]{recipe.title}[/]  [dim]{name}[/]")
        out.print(recipe.steps.replace("{ca}", ca_file), markup=False, soft_wrap=True)
        out.print()
