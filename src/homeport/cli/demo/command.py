"""The demo's script, told top to bottom: the server, enrollments, devices, verification."""

import asyncio
import importlib.util
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from homeport.app.directory import ConnectionInfo, DataDirectory
from homeport.app.server_process import ServerFailedError, ServerProcess
from homeport.cli.console import fail, out
from homeport.cli.demo import report
from homeport.cli.demo.devices import Address, Fleet
from homeport.cli.demo.factory import Certified
from homeport.cli.demo.journey import Attestation, Journey, Stage
from homeport.cli.demo.software_tpm import SoftwareTpm
from homeport.client import (
    AttestationMechanism,
    ConflictError,
    EnrollmentGroup,
    HomeportAdminClient,
    HubRegistryClient,
    IndividualEnrollment,
    InitialTwin,
    ProvisioningServiceClient,
    derive_device_key,
)
from homeport.clock import SystemClock

HUB_ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
KEY_DEVICES = 4
# Telemetry is durable when the device hears of it, so the last message is at the hub at once; the margin is for luck.
VERIFY_LIMIT = 10.0


@dataclass(slots=True, kw_only=True)
class Plan:
    """Everything the factory made: who will be powered on, with which secret."""

    journeys: list[Journey] = field(default_factory=list)
    certificates: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    tpm: Any = None
    """The TPM device's security provider, None where swtpm or its bindings are missing."""
    tpm_missing: str = ""

    def add(self, device: str, attestation: Attestation) -> Journey:
        journey = Journey(device=device, attestation=attestation)
        self.journeys.append(journey)
        return journey


def demo(
    leave: Annotated[
        bool, typer.Option("--exit", help="Exit when the table is printed, instead of staying up.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data directory of the demo's server; a fresh one if left out.")
    ] = None,
    devices: Annotated[int, typer.Option("--devices", min=1, max=500, help="Devices in the X.509 group.")] = 20,
    portal_port: Annotated[int, typer.Option("--portal-port", help="Port of the portal; 0 takes any.")] = 8080,
) -> None:
    """Show the whole story: enroll devices, power them on, watch them come home.

    Starts a server with three hubs, enrolls a TPM, an X.509 device and two groups, powers the devices on, and prints
    who lives where. The exit status is 0 only if every step held.
    """
    if not _installed("azure.iot.device"):
        raise fail("the demo's devices are Microsoft's: install them with `pip install azure-iot-device`.")
    # Whoever ends the demo ends the server and the TPM that it started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeport-demo-")))
        try:
            status = _tell(folder, stack, devices=devices, portal_port=portal_port, leave=leave)
        except ServerFailedError as error:
            raise fail(f"the server did not start:\n{error}") from error
        except ConflictError as error:
            raise fail(f"{folder} has seen a demo already ({error}): give a fresh --data, or none.") from error
    raise typer.Exit(status)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its parent is there
        return False


def _tell(folder: Path, stack: ExitStack, *, devices: int, portal_port: int, leave: bool) -> int:
    began = time.monotonic()
    report.headline("1  The service")
    server = stack.enter_context(ServerProcess(folder, HUB_ADDRESSES, ["--portal-port", str(portal_port)]))
    report.step(server.ready)
    info = DataDirectory(folder).read_connection()
    with HomeportAdminClient.create_from_connection_string(info.admin_connection_string, ca_file=info.ca_file) as admin:
        for number, address in enumerate(HUB_ADDRESSES[1:], start=2):
            admin.create_hub(f"hub{number}", host_names=[address])
            report.step(f"hub{number} at {address} is linked")
    info = DataDirectory(folder).read_connection()

    report.headline("2  Enroll")
    plan = Plan()
    with ProvisioningServiceClient.create_from_connection_string(
        info.dps_connection_string, ca_file=info.ca_file
    ) as service:
        _enroll_tpm(service, plan, folder, stack)
        _enroll_certificates(service, plan, folder, devices)
        _enroll_keys(service, plan)

    report.headline("3  Power on")
    seconds = time.monotonic() - began
    with asyncio.Runner() as runner:
        fleet = Fleet(Address(host=info.global_endpoint, id_scope=info.id_scope, ca_file=Path(info.ca_file)))
        try:
            runner.run(_power_on(fleet, plan))

            report.headline("4  Verify")
            _verify(info, plan)
            seconds = time.monotonic() - began
            report.table(plan.journeys)
            report.headline("How the X.509 group spread over the hubs")
            report.spread(plan.journeys, Attestation.X509_GROUP)
            report.summary(plan.journeys, seconds)
            if plan.tpm_missing:
                report.missing(f"without a TPM device: {plan.tpm_missing}")
            if not leave:
                _stay(info, folder, server)
        finally:
            runner.run(fleet.leave())
    return 0 if not plan.tpm_missing and all(journey.held for journey in plan.journeys) else 1


def _enroll_tpm(service: ProvisioningServiceClient, plan: Plan, folder: Path, stack: ExitStack) -> None:
    if shutil.which("swtpm") is None:
        plan.tpm_missing = "swtpm is not installed (Debian: apt install swtpm)"
    elif not _installed("tpm2_pytss"):
        plan.tpm_missing = "the TPM bindings are not installed (pip install homeport[tpm])"
    if plan.tpm_missing:
        report.missing(f"no TPM device: {plan.tpm_missing}")
        return
    from homeport.client.tpm import TpmSecurityProvider

    tpm = stack.enter_context(SoftwareTpm(folder / "tpm"))
    plan.tpm = stack.enter_context(TpmSecurityProvider(tpm.tcti))
    registration_id = plan.tpm.registration_id
    service.create_or_update_individual_enrollment(
        IndividualEnrollment(
            registration_id=registration_id,
            device_id="tpm-device",
            attestation=AttestationMechanism.for_tpm(endorsement_key=plan.tpm.endorsement_key),
            initial_twin=InitialTwin.of(tags={"line": "security"}),
        )
    )
    plan.add("tpm-device", Attestation.TPM)
    report.step(f"a TPM, by the endorsement key read from it: registration id {registration_id[:12]}…")


def _enroll_certificates(service: ProvisioningServiceClient, plan: Plan, folder: Path, devices: int) -> None:
    now = SystemClock().now()
    single = Certified.make("press-1", now=now)
    service.create_or_update_individual_enrollment(
        IndividualEnrollment(registration_id="press-1", attestation=AttestationMechanism.for_x509_client(single.pem))
    )
    plan.certificates["press-1"] = single.write(folder / "devices", "press-1")
    plan.add("press-1", Attestation.X509)
    report.step("one device by its own X.509 certificate: press-1")

    root = Certified.make("Demo Factory Root", now=now, ca=True)
    line = Certified.make("Demo Assembly Line", now=now, issuer=root, ca=True)
    service.create_or_update_enrollment_group(
        EnrollmentGroup(
            enrollment_group_id="assembly-line",
            attestation=AttestationMechanism.for_x509_signing(root.pem),
            initial_twin=InitialTwin.of(tags={"line": "assembly"}, desired={"interval": 30}),
        )
    )
    for number in range(1, devices + 1):
        name = f"sensor-{number:02}"
        plan.certificates[name] = Certified.make(name, now=now, issuer=line).write(folder / "devices", name)
        plan.add(name, Attestation.X509_GROUP)
    report.step(f"a group by a root certificate made just now: {devices} devices below its intermediate")


def _enroll_keys(service: ProvisioningServiceClient, plan: Plan) -> None:
    group = service.create_or_update_enrollment_group(
        EnrollmentGroup(enrollment_group_id="gateways", attestation=AttestationMechanism.for_symmetric_key())
    )
    keys = group.attestation.symmetric_key
    assert keys is not None
    assert keys.primary_key is not None
    for number in range(1, KEY_DEVICES + 1):
        name = f"gateway-{number}"
        plan.keys[name] = derive_device_key(keys.primary_key, name)
        plan.add(name, Attestation.KEY_GROUP)
    report.step(f"a group by symmetric key: {KEY_DEVICES} devices with keys derived from it")


async def _power_on(fleet: Fleet, plan: Plan) -> None:
    with report.progress() as progress:
        task = progress.add_task("devices are coming home", total=len(plan.journeys))
        async with asyncio.TaskGroup() as group:
            for journey in plan.journeys:
                group.create_task(_one(fleet, plan, journey, lambda: progress.advance(task)))


async def _one(fleet: Fleet, plan: Plan, journey: Journey, done: Any) -> None:
    match journey.attestation:
        case Attestation.TPM:
            await fleet.with_tpm(journey, plan.tpm)
        case Attestation.X509 | Attestation.X509_GROUP:
            await fleet.with_certificate(journey, *plan.certificates[journey.device])
        case Attestation.KEY_GROUP:
            await fleet.with_key(journey, plan.keys[journey.device])
    done()


def _verify(info: ConnectionInfo, plan: Plan) -> None:
    """Ask the hubs themselves what arrived there."""
    for connection_string in info.hub_connection_strings.values():
        with HubRegistryClient.create_from_connection_string(connection_string, ca_file=info.ca_file) as hub:
            for journey in plan.journeys:
                if journey.hub == hub.host_name and journey.stage is not Stage.LOST:
                    journey.received = hub.telemetry_count(journey.device)


def _stay(info: ConnectionInfo, folder: Path, server: ServerProcess) -> None:
    token = (folder / "portal-token").read_text().strip()
    out.print(f"\nThe portal: [bold]{info.portal_url}[/]   sign in with [bold]{token}[/]", soft_wrap=True)
    out.print(f"Other commands work beside it, for example: homeport why sensor-01 --data {folder}", soft_wrap=True)
    out.print("[dim]Ctrl-C ends the demo.[/]")
    try:
        while server.running:
            time.sleep(0.5)
    except KeyboardInterrupt:
        out.print()
