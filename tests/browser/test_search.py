"""Finding among many: a condition in the search field, totals beside it, and a refusal that says where it is wrong."""

import asyncio

from homeport.client import AttestationMechanism, IndividualEnrollment, ProvisioningServiceClient
from tests.browser.chromium import Tab
from tests.browser.conftest import Portal


async def test_enrollments_are_found_by_a_condition(tab: Tab, portal: Portal) -> None:
    text, authority = portal.values["HOMEPORT_DPS_CONNECTION_STRING"], portal.values["HOMEPORT_CA_FILE"]
    with ProvisioningServiceClient.create_from_connection_string(text, ca_file=authority) as operator:
        for number in range(3):
            operator.create_or_update_individual_enrollment(
                IndividualEnrollment(
                    registration_id=f"find-{number}",
                    attestation=AttestationMechanism.for_symmetric_key(),
                    provisioning_status="disabled" if number == 1 else "enabled",
                )
            )
    await tab.go(f"{portal.url}/enrollments")
    await tab.fill("input[name=q]", "provisioningStatus = 'disabled' AND STARTSWITH(registrationId, 'find-')")
    await tab.submit("form.search button")
    shown = await tab.text("main")
    assert "find-1" in shown
    assert "find-0" not in shown
    async with asyncio.timeout(20):
        # Totals are counted anew every few seconds only.
        while " disabled, " not in await tab.text("main"):
            await tab.go(await tab.run("location.href"))

    await tab.fill("input[name=q]", "colour = 'red'")
    await tab.submit("form.search button")
    assert "There is no field 'colour' (position 16)" in await tab.text("main")
