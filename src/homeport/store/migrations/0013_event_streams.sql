-- A hub's event log has streams: the built-in endpoint 'events', and endpoints with names of their own.

/*sqlite CREATE TABLE log_partitions_of_streams (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    hub TEXT NOT NULL,
    stream TEXT NOT NULL,
    part INTEGER NOT NULL,
    next_offset BIGINT NOT NULL,
    last_enqueued_at BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    UNIQUE (hub, stream, part)
);
INSERT INTO log_partitions_of_streams (seq, hub, stream, part, next_offset, last_enqueued_at, bytes)
SELECT seq, hub, 'events', part, next_offset, 0, 0 FROM log_partitions;
DROP TABLE log_partitions;
ALTER TABLE log_partitions_of_streams RENAME TO log_partitions;
*/
/*postgres ALTER TABLE log_partitions ADD COLUMN stream TEXT COLLATE "C" NOT NULL DEFAULT 'events';
ALTER TABLE log_partitions ALTER COLUMN stream DROP DEFAULT;
ALTER TABLE log_partitions ADD COLUMN last_enqueued_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE log_partitions ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE log_partitions DROP CONSTRAINT log_partitions_hub_part_key;
ALTER TABLE log_partitions ADD CONSTRAINT log_partitions_hub_stream_part_key UNIQUE (hub, stream, part);
*/

-- What is there already counts towards a limit by size. The factor is the span of a partition's places (2^40).
UPDATE log_partitions SET
    last_enqueued_at = COALESCE((SELECT t.enqueued_at FROM telemetry t
        WHERE t.place >= log_partitions.seq * 1099511627776 AND t.place < (log_partitions.seq + 1) * 1099511627776
        ORDER BY t.place DESC LIMIT 1), 0),
    bytes = COALESCE((SELECT SUM(LENGTH(t.body) + LENGTH(CAST(t.data AS TEXT))) FROM telemetry t
        WHERE t.place >= log_partitions.seq * 1099511627776
        AND t.place < (log_partitions.seq + 1) * 1099511627776), 0);

-- Endpoints with their settings. The built-in one has a row as soon as its settings are not the usual ones.
CREATE TABLE event_streams (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    stream TEXT /*postgres COLLATE "C"*/ NOT NULL,
    data JSON NOT NULL,
    PRIMARY KEY (hub, stream)
);

-- Consumer groups besides $Default.
CREATE TABLE consumer_groups (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    stream TEXT /*postgres COLLATE "C"*/ NOT NULL,
    group_key TEXT /*postgres COLLATE "C"*/ NOT NULL,
    data JSON NOT NULL,
    PRIMARY KEY (hub, stream, group_key)
);
