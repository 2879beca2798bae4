"""`homeport hub export` and `homeport hub import`: a hub's registry to and from blob containers."""

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, fail, out, progress_bar
from homeport.cli.hub_access import HubOption, hub
from homeport.cli.listing import print_json

if TYPE_CHECKING:
    from homeport.client import HubClient, TransferJob

ContainerArgument = Annotated[
    str, typer.Argument(envvar="HOMEPORT_CONTAINER_URL", help="Address of a blob container, with its signature (SAS).")
]
BlobOption = Annotated[str, typer.Option("--blob", help="Name of the blob.")]
ConfigurationsOption = Annotated[bool, typer.Option("--configurations", help="Configurations as well.")]
_PAUSE = 0.5


def export_devices(
    container: ContainerArgument,
    blob: BlobOption = "devices.txt",
    without_keys: Annotated[bool, typer.Option("--without-keys", help="Leave the devices' keys out.")] = False,
    configurations: ConfigurationsOption = False,
    hub_name: HubOption = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Write all devices and modules of a hub into a blob, a JSON document a line, and wait until it is done."""
    with hub(hub_name, data) as client:
        job = client.export_devices(
            container, blob_name=blob, exclude_keys=without_keys, include_configurations=configurations
        )
        _finish(_follow(client, job), output, f"The devices are in the blob {blob}.")


def import_devices(
    container: ContainerArgument,
    blob: BlobOption = "devices.txt",
    errors: Annotated[
        str | None,
        typer.Option("--errors", help="Container for importErrors.log.", show_default="where the devices are"),
    ] = None,
    configurations: ConfigurationsOption = False,
    hub_name: HubOption = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Carry out a blob's lines, each a device with its importMode, and wait until it is done."""
    with hub(hub_name, data) as client:
        job = client.import_devices(
            container, blob_name=blob, errors_container_url=errors, include_configurations=configurations
        )
        _finish(
            _follow(client, job), output, "The lines are carried out; those that could not be are in importErrors.log."
        )


def _follow(client: "HubClient", job: "TransferJob") -> "TransferJob":
    with progress_bar() as progress:
        task = progress.add_task(job.type, total=100)
        while not job.has_ended:
            time.sleep(_PAUSE)
            job = client.get_transfer_job(job.job_id)
            progress.update(task, completed=job.progress)
    return job


def _finish(job: "TransferJob", output: Output, words: str) -> None:
    if output is Output.JSON:
        print_json(job)
    elif job.status == "completed":
        out.print(escape(words))
    if job.status != "completed":
        raise fail(f"the {job.type} {escape(job.job_id)} is {job.status}: {escape(job.failure_reason or '')}")
