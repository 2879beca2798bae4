-- Certificate authorities that devices' chains end at, and what they revoked. *_key columns are lower-cased names.

CREATE TABLE ca_certificates (
    name_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    etag TEXT NOT NULL,
    data JSON NOT NULL
);

-- `authority` is a digest of the authority's name and key.
CREATE TABLE crls (
    authority TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    data JSON NOT NULL,
    der BYTEA NOT NULL
);

INSERT INTO changes (name, count) VALUES ('ca_certificates', 0), ('crls', 0);
