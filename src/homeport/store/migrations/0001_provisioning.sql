-- Provisioning and the service's own settings. Times are microseconds since 1970; *_key columns are lower-cased ids.

CREATE TABLE settings (
    name TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    value BYTEA NOT NULL
);

-- Counts the changes of small tables that processes keep in memory.
CREATE TABLE changes (
    name TEXT PRIMARY KEY,
    count BIGINT NOT NULL
);
INSERT INTO changes (name, count) VALUES ('enrollment_groups', 0), ('linked_hubs', 0), ('hubs', 0);

CREATE TABLE individual_enrollments (
    id_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    id TEXT NOT NULL,
    etag TEXT NOT NULL,
    data JSON NOT NULL
);

CREATE TABLE enrollment_groups (
    id_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    id TEXT NOT NULL,
    etag TEXT NOT NULL,
    data JSON NOT NULL
);

CREATE TABLE registrations (
    id_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    id TEXT NOT NULL,
    group_key TEXT /*postgres COLLATE "C"*/,
    etag TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    is_open SMALLINT NOT NULL,
    deadline BIGINT NOT NULL,
    retry_at BIGINT,
    lease_owner TEXT,
    lease_until BIGINT,
    data JSON NOT NULL
);
CREATE INDEX registrations_of_group ON registrations (group_key, id_key) WHERE group_key IS NOT NULL;
CREATE INDEX registrations_open ON registrations (deadline, id_key) WHERE is_open = 1;

CREATE TABLE challenges (
    id_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    expires_at BIGINT NOT NULL,
    data JSON NOT NULL
);
CREATE INDEX challenges_by_expiry ON challenges (expires_at);

CREATE TABLE attempts (
    seq /*sqlite INTEGER PRIMARY KEY AUTOINCREMENT*/ /*postgres BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY*/,
    id_key TEXT /*postgres COLLATE "C"*/ NOT NULL,
    tracking_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
    data JSON NOT NULL
);
CREATE INDEX attempts_of_registration ON attempts (id_key, seq);
CREATE INDEX attempts_by_tracking_id ON attempts (tracking_id, seq);

CREATE TABLE linked_hubs (
    name_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    host_key TEXT /*postgres COLLATE "C"*/ NOT NULL UNIQUE,
    data JSON NOT NULL
);
