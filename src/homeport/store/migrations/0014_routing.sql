-- Where a hub's messages go, as one document each: routes, endpoints, enrichments.

CREATE TABLE hub_routing (
    hub TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    data JSON NOT NULL
);
INSERT INTO changes (name, count) VALUES ('hub_routing', 0);

-- Endpoints that somebody must carry messages to: who does, up to where it is done (by partition), and how it goes.
CREATE TABLE endpoint_deliveries (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    endpoint TEXT /*postgres COLLATE "C"*/ NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT NOT NULL,
    positions JSON NOT NULL,
    last_success_at BIGINT,
    last_failure_at BIGINT,
    last_failure TEXT,
    PRIMARY KEY (hub, endpoint)
);
