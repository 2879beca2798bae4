-- Files that devices upload: how a hub keeps them, uploads that were begun, what services are told, built-in blobs.

CREATE TABLE file_upload_settings (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL PRIMARY KEY,
    data JSON NOT NULL
);

CREATE TABLE file_uploads (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    correlation_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
    target TEXT /*postgres COLLATE "C"*/ NOT NULL,
    expires_at BIGINT NOT NULL,
    data JSON NOT NULL,
    PRIMARY KEY (hub, correlation_id)
);
CREATE INDEX file_uploads_of_target ON file_uploads (hub, target);

CREATE TABLE file_notifications (
    seq /*sqlite INTEGER PRIMARY KEY AUTOINCREMENT*/ /*postgres BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY*/,
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    created_at BIGINT NOT NULL,
    token TEXT /*postgres COLLATE "C"*/,
    locked_until BIGINT NOT NULL,
    deliveries INTEGER NOT NULL,
    data JSON NOT NULL
);
CREATE INDEX file_notifications_of_hub ON file_notifications (hub, seq);

-- The content lies in a file; a row is what makes it a blob.
CREATE TABLE blobs (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    name TEXT /*postgres COLLATE "C"*/ NOT NULL,
    data JSON NOT NULL,
    PRIMARY KEY (hub, name)
);
