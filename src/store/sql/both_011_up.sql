-- Exports that were read into this database, and how far: an interrupted one goes on where it ended.
CREATE TABLE house_moves (
	id TEXT PRIMARY KEY,
	rows_read {int} NOT NULL,
	is_whole {int} NOT NULL DEFAULT 0,
	started_at_ms {int} NOT NULL,
	updated_at_ms {int} NOT NULL
) {strict};
