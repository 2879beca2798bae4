-- What queries find by and counts are made of, out of the JSON into columns.

ALTER TABLE individual_enrollments ADD COLUMN kind TEXT /*postgres COLLATE "C"*/ NOT NULL DEFAULT '';
ALTER TABLE individual_enrollments ADD COLUMN status TEXT /*postgres COLLATE "C"*/ NOT NULL DEFAULT '';
ALTER TABLE individual_enrollments ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;

UPDATE individual_enrollments SET
    kind = CASE /*sqlite json_extract(data, '$.attestation.type')*/ /*postgres data->'attestation'->>'type'*/
        WHEN 'tpm' THEN 'tpm' WHEN 'symmetricKey' THEN 'symmetrickey' ELSE 'x509' END,
    status = CASE /*sqlite json_extract(data, '$.provisioning_status')*/ /*postgres data->>'provisioning_status'*/
        WHEN 'disabled' THEN 'disabled' ELSE 'enabled' END,
    updated_at =
        /*sqlite CAST(strftime('%s', json_extract(data, '$.updated_at')) AS INTEGER) * 1000000
            + CAST(substr(json_extract(data, '$.updated_at'), 21, 6) AS INTEGER)*/
        /*postgres CAST(EXTRACT(EPOCH FROM CAST(data->>'updated_at' AS timestamptz)) * 1000000 AS BIGINT)*/;

CREATE INDEX enrollments_by_kind ON individual_enrollments (kind, id_key, status);
CREATE INDEX enrollments_by_change ON individual_enrollments (updated_at, id_key);
CREATE INDEX enrollments_disabled ON individual_enrollments (id_key) WHERE status = 'disabled';

-- hub_key is empty while a device has no hub.
ALTER TABLE registrations ADD COLUMN status TEXT /*postgres COLLATE "C"*/ NOT NULL DEFAULT '';
ALTER TABLE registrations ADD COLUMN hub_key TEXT /*postgres COLLATE "C"*/ NOT NULL DEFAULT '';
ALTER TABLE registrations ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;

UPDATE registrations SET
    status = /*sqlite json_extract(data, '$.status')*/ /*postgres data->>'status'*/,
    hub_key = COALESCE(
        lower(/*sqlite json_extract(data, '$.assignment.hub')*/ /*postgres data->'assignment'->>'hub'*/), ''),
    updated_at =
        /*sqlite CAST(strftime('%s', json_extract(data, '$.updated_at')) AS INTEGER) * 1000000
            + CAST(substr(json_extract(data, '$.updated_at'), 21, 6) AS INTEGER)*/
        /*postgres CAST(EXTRACT(EPOCH FROM CAST(data->>'updated_at' AS timestamptz)) * 1000000 AS BIGINT)*/;

-- Registering is what must stay quick: an operation in progress is in none of these, and one that ends well in two.
CREATE INDEX registrations_by_hub ON registrations (hub_key, id_key) WHERE hub_key <> '';
CREATE INDEX registrations_by_change ON registrations (updated_at, id_key) WHERE is_open = 0;
CREATE INDEX registrations_unusual ON registrations (status, id_key, hub_key) WHERE is_open = 0 AND status <> 'assigned';

-- Shared access policies; each process keeps them in memory and looks at the count of their changes.
CREATE TABLE access_policies (
    name_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    data JSON NOT NULL
);
INSERT INTO changes (name, count) VALUES ('access_policies', 0);
