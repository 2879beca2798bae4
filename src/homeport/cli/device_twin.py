"""`homeport device twin …`: what a hub and its device keep of each other."""

from typing import Annotated

import typer

from homeport.cli.console import DataOption, fail
from homeport.cli.device_identities import DeviceArgument
from homeport.cli.hub_access import HubOption, hub, json_object
from homeport.cli.listing import print_json

app = typer.Typer(help="Twins: show, patch, replace.", no_args_is_help=True, add_completion=False)

ModuleOption = Annotated[str | None, typer.Option("--module", help="Of this module of the device.")]
TagsOption = Annotated[str | None, typer.Option("--tags", help="JSON object, or @ and a file.")]
DesiredOption = Annotated[str | None, typer.Option("--desired", help="JSON object, or @ and a file.")]
EtagOption = Annotated[str | None, typer.Option("--etag", help="Only if the twin has this version still.")]


@app.command("show")
def show(
    device_id: DeviceArgument, hub_name: HubOption = None, data: DataOption = None, module: ModuleOption = None
) -> None:
    """Print a twin, as JSON."""
    with hub(hub_name, data) as client:
        print_json(client.get_twin(device_id, module_id=module))


@app.command("patch")
def patch(
    device_id: DeviceArgument,
    hub_name: HubOption = None,
    data: DataOption = None,
    tags: TagsOption = None,
    desired: DesiredOption = None,
    module: ModuleOption = None,
    etag: EtagOption = None,
) -> None:
    """Merge into tags or desired properties; a member that is null is removed. Prints the twin."""
    new_tags, new_desired = json_object(tags, "--tags"), json_object(desired, "--desired")
    if new_tags is None and new_desired is None:
        raise fail("nothing to change: give --tags or --desired", code=2)
    with hub(hub_name, data) as client:
        print_json(client.update_twin(device_id, module_id=module, tags=new_tags, desired=new_desired, etag=etag))


@app.command("replace")
def replace(
    device_id: DeviceArgument,
    hub_name: HubOption = None,
    data: DataOption = None,
    tags: TagsOption = None,
    desired: DesiredOption = None,
    module: ModuleOption = None,
    etag: EtagOption = None,
) -> None:
    """Replace tags and desired properties as a whole: what is not given is emptied. Prints the twin."""
    new_tags, new_desired = json_object(tags, "--tags"), json_object(desired, "--desired")
    if new_tags is None and new_desired is None:
        raise fail("this would empty tags and desired properties: give --tags or --desired, '{}' if need be", code=2)
    with hub(hub_name, data) as client:
        print_json(
            client.replace_twin(device_id, module_id=module, tags=new_tags or {}, desired=new_desired or {}, etag=etag)
        )
