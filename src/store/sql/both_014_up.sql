-- Events that a consumer of the outbox would not take and that were set aside, so that others go on.
CREATE TABLE parked_events (
	consumer TEXT NOT NULL,
	event_id TEXT NOT NULL,
	position {int} NOT NULL,
	kind TEXT NOT NULL,
	branch_id TEXT,
	ref TEXT NOT NULL,
	tries {int} NOT NULL,
	status {int},                      -- of the last answer; NULL: there was none
	error TEXT NOT NULL,
	parked_at_ms {int} NOT NULL,
	PRIMARY KEY (consumer, event_id)
) {strict keyed};
CREATE INDEX parked_events_by_position ON parked_events (consumer, position);
