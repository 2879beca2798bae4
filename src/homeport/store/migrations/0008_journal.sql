-- The journal: what administrators changed and how registrations ended; its readers; who may administer.

-- Entries lie here, written with what they tell of, until they are chained.
CREATE TABLE journal_pending (
    id /*sqlite INTEGER PRIMARY KEY AUTOINCREMENT*/ /*postgres BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY*/,
    at BIGINT NOT NULL,
    kind TEXT /*postgres COLLATE "C"*/ NOT NULL,
    subject_key TEXT /*postgres COLLATE "C"*/ NOT NULL,
    data TEXT NOT NULL
);

-- hash covers the hash before it, seq and data; at, kind and subject_key repeat what data says.
CREATE TABLE journal (
    seq /*sqlite INTEGER*/ /*postgres BIGINT*/ PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT /*postgres COLLATE "C"*/ NOT NULL,
    subject_key TEXT /*postgres COLLATE "C"*/ NOT NULL,
    data TEXT NOT NULL,
    hash BYTEA NOT NULL
);
CREATE INDEX journal_of_subject ON journal (subject_key, seq);
CREATE INDEX journal_of_kind ON journal (kind, seq);
CREATE INDEX journal_by_time ON journal (at);

-- One row: the end of the chain, and where it begins since older entries were dropped.
CREATE TABLE journal_head (
    id SMALLINT PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    anchor_seq BIGINT NOT NULL,
    anchor_hash BYTEA NOT NULL,
    signature BYTEA NOT NULL
);

-- delivered: everything up to this entry is delivered, given up (event_dead_letters) or not wanted.
CREATE TABLE event_subscriptions (
    name_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    etag TEXT NOT NULL,
    data JSON NOT NULL,
    delivered BIGINT NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT,
    last_success_at BIGINT,
    last_failure_at BIGINT,
    last_failure TEXT
);

CREATE TABLE event_dead_letters (
    name_key TEXT /*postgres COLLATE "C"*/ NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    reason TEXT NOT NULL,
    replay SMALLINT NOT NULL,
    PRIMARY KEY (name_key, seq)
);

CREATE TABLE administrators (
    name_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    token_digest BYTEA NOT NULL UNIQUE,
    last_used_at BIGINT,
    data JSON NOT NULL
);
INSERT INTO changes (name, count) VALUES ('administrators', 0), ('event_subscriptions', 0);
