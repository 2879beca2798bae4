"""`homeport counts`: how much there is."""

from collections.abc import Mapping

from homeport.cli.console import DataOption, Output, OutputOption, admin, out
from homeport.cli.listing import plain_table, print_json


def counts(data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """Count enrollments, groups and registrations, by kind, status and hub."""
    with admin(data) as client:
        found = client.counts()
    if output is Output.JSON:
        print_json(found)
        return
    table = plain_table("", "total", "of which")
    for name, enrollments in (("enrollments", found.enrollments), ("groups", found.enrollment_groups)):
        table.add_row(name, f"{enrollments.total:,}", _parts(enrollments.by_attestation, enrollments.by_status))
    registrations = found.registrations
    table.add_row("registrations", f"{registrations.total:,}", _parts(registrations.by_status, registrations.by_hub))
    out.print(table)


def _parts(*counts: Mapping[str, int]) -> str:
    return "; ".join(
        ", ".join(f"{number:,} {name}" for name, number in numbers.items()) for numbers in counts if numbers
    )
