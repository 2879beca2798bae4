-- Several processes serve one database: which of them are alive, and which holds a device's connection.

CREATE TABLE nodes (
    node TEXT NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL,
    until BIGINT NOT NULL
);

-- Null where nobody is connected, and wherever one process has the database for itself.
ALTER TABLE devices ADD COLUMN node TEXT;
CREATE INDEX devices_node ON devices (node, hub, is_module, device_id) WHERE node IS NOT NULL;

-- What MQTT clients without clean session are subscribed to: they do not say it again to the next process.
CREATE TABLE mqtt_subscriptions (
    hub TEXT NOT NULL,
    device_id TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (hub, device_id)
);
