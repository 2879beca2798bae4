-- The hubs this Homeport serves: their registries and telemetry.

CREATE TABLE hubs (
    seq /*sqlite INTEGER PRIMARY KEY AUTOINCREMENT*/ /*postgres BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY*/,
    name_key TEXT /*postgres COLLATE "C"*/ NOT NULL UNIQUE,
    data JSON NOT NULL
);

CREATE TABLE hub_host_names (
    host_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    hub_key TEXT /*postgres COLLATE "C"*/ NOT NULL
);

-- Device ids are case-sensitive. Twins last: reading an identity must not walk over them.
CREATE TABLE devices (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    device_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
    etag TEXT NOT NULL,
    status TEXT NOT NULL,
    connection_state TEXT NOT NULL,
    connection_state_at BIGINT NOT NULL,
    last_activity_at BIGINT NOT NULL,
    twin_version BIGINT NOT NULL,
    reported_version BIGINT NOT NULL,
    identity JSON NOT NULL,
    twin JSON NOT NULL,
    reported JSON NOT NULL,
    PRIMARY KEY (hub, device_id)
);
CREATE INDEX devices_by_status ON devices (hub, status);
CREATE INDEX devices_connected ON devices (hub) WHERE connection_state = 'Connected';

CREATE TABLE log_partitions (
    seq /*sqlite INTEGER PRIMARY KEY AUTOINCREMENT*/ /*postgres BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY*/,
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    part INTEGER NOT NULL,
    next_offset BIGINT NOT NULL,
    UNIQUE (hub, part)
);

-- place = partition's seq * 2^40 + offset: one key for partition and offset, in order of both.
CREATE TABLE telemetry (
    place /*sqlite INTEGER*/ /*postgres BIGINT*/ PRIMARY KEY,
    device_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
    enqueued_at BIGINT NOT NULL,
    body BYTEA NOT NULL,
    data JSON NOT NULL
);
CREATE INDEX telemetry_of_device ON telemetry (device_id, place);
