"""The operations of the fault lab; without `--fault-lab` each is 404."""

from homeport.wire import dps_faults
from homeport.wire.openapi.administration import at

_READ = "ServiceConfigRead"

FAULTS = (
    at("faults", "get", "Faults_List", "Faults that wait or are active, and the last that have ended.",
        list[dps_faults.Fault], right=_READ),
    at("faults", "post", "Faults_Start", "Start a fault.", dps_faults.Fault, body=dps_faults.FaultRequest, status=201),
    at("faults/{faultId}", "get", "Faults_Get", "A fault.", dps_faults.Fault, right=_READ),
    at("faults/{faultId}", "delete", "Faults_Stop", "End a fault now.", None),
    at("faults/history", "get", "Faults_History", "What was done to whom, newest first.", list[dps_faults.Injection],
        right=_READ, query=("fault", "deviceId", "limit")),
    at("faults/messages", "get", "FaultMessages_List", "Which hubs obey their devices' fault injection messages.",
        list[dps_faults.FaultMessages], right=_READ),
    at("faults/messages/{name}", "put", "FaultMessages_Switch", "Let a hub obey them, or not.",
        dps_faults.FaultMessages, body=dps_faults.FaultMessagesChange),
)  # fmt: skip
