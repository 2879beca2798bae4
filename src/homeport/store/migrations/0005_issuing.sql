-- Certificates for devices: who issues them, by which policy, and which were issued.

CREATE TABLE certificate_authorities (
    name_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    etag TEXT NOT NULL,
    data JSON NOT NULL
);

CREATE TABLE certificate_policies (
    name_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    etag TEXT NOT NULL,
    data JSON NOT NULL
);

INSERT INTO changes (name, count) VALUES ('certificate_authorities', 0), ('certificate_policies', 0);

CREATE TABLE revocation_lists (
    authority_key TEXT /*postgres COLLATE "C"*/ NOT NULL,
    version INTEGER NOT NULL,
    number BIGINT NOT NULL,
    next_update BIGINT NOT NULL,
    revoked_since INTEGER NOT NULL,
    der BYTEA NOT NULL,
    PRIMARY KEY (authority_key, version)
);

CREATE TABLE issued_certificates (
    serial TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    registration_key TEXT /*postgres COLLATE "C"*/ NOT NULL,
    authority_key TEXT /*postgres COLLATE "C"*/ NOT NULL,
    version INTEGER NOT NULL,
    key_digest TEXT /*postgres COLLATE "C"*/ NOT NULL,
    not_after BIGINT NOT NULL,
    revoked_at BIGINT,
    reason TEXT,
    is_withdrawn SMALLINT NOT NULL,
    certificate BYTEA NOT NULL,
    data JSON NOT NULL
);
CREATE INDEX issued_certificates_of_device ON issued_certificates (registration_key, not_after, serial);
CREATE INDEX issued_certificates_of_authority ON issued_certificates (authority_key, not_after, serial);
CREATE INDEX issued_certificates_by_end ON issued_certificates (not_after, serial);
CREATE INDEX issued_certificates_revoked ON issued_certificates (authority_key, version) WHERE revoked_at IS NOT NULL;
CREATE INDEX issued_certificates_revoked_keys ON issued_certificates (key_digest) WHERE revoked_at IS NOT NULL;
CREATE INDEX issued_certificates_to_withdraw ON issued_certificates (serial) WHERE is_withdrawn = 0;
