-- Of each hub: CA certificates that chains end at, how cloud-to-device queues behave, imports and exports.

CREATE TABLE hub_ca_certificates (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    name_key TEXT /*postgres COLLATE "C"*/ NOT NULL,
    etag TEXT NOT NULL,
    data JSON NOT NULL,
    PRIMARY KEY (hub, name_key)
);

CREATE TABLE hub_queue_settings (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL PRIMARY KEY,
    data JSON NOT NULL
);

INSERT INTO changes (name, count) VALUES ('hub_ca_certificates', 0), ('hub_queue_settings', 0);

-- `open` is 1 until the transfer has ended; who runs it holds it until `lease_until`.
CREATE TABLE hub_transfers (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    job_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
    created_at BIGINT NOT NULL,
    open INTEGER NOT NULL,
    owner TEXT /*postgres COLLATE "C"*/,
    lease_until BIGINT NOT NULL,
    data JSON NOT NULL,
    PRIMARY KEY (hub, job_id)
);
CREATE UNIQUE INDEX hub_transfers_one_at_a_time ON hub_transfers (hub) WHERE open = 1;
