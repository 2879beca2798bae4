"""The IoT hub: identities, twins, connections and telemetry of the devices that live there."""
