-- Cloud-to-device messages and what senders are told of them. `target` is a device id, or device/module.

-- One row for each queue that was ever used: its lock orders what happens in the queue.
CREATE TABLE message_queues (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    target TEXT /*postgres COLLATE "C"*/ NOT NULL,
    next_number BIGINT NOT NULL,
    PRIMARY KEY (hub, target)
);

CREATE TABLE messages (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    target TEXT /*postgres COLLATE "C"*/ NOT NULL,
    number BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    state JSON NOT NULL,
    body BYTEA NOT NULL,
    data JSON NOT NULL,
    PRIMARY KEY (hub, target, number)
);
CREATE INDEX messages_due ON messages (hub, due_at);

CREATE TABLE message_feedback (
    seq /*sqlite INTEGER PRIMARY KEY AUTOINCREMENT*/ /*postgres BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY*/,
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    created_at BIGINT NOT NULL,
    token TEXT /*postgres COLLATE "C"*/,
    locked_until BIGINT NOT NULL,
    deliveries INTEGER NOT NULL,
    data JSON NOT NULL
);
CREATE INDEX message_feedback_of_hub ON message_feedback (hub, seq);
