-- Push messages that were taken: each counts once.
CREATE TABLE push_messages (
	message_id TEXT PRIMARY KEY,
	received_at_ms {int} NOT NULL
) {strict keyed};
CREATE INDEX push_messages_by_age ON push_messages (received_at_ms);
