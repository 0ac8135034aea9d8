-- What the console looks at: connections by state and in each order, and how busy the service was.
CREATE INDEX clients_by_state ON clients (is_active, status, id);
CREATE INDEX clients_by_name ON clients (workspace_name, id);
CREATE INDEX tokens_by_expiry ON tokens (expires_at_ms, client_id);

-- How often something happened, by the minute and by the hour, over all processes.
CREATE TABLE activity (
	name TEXT NOT NULL,                  -- refreshes, refresh_failures, google_calls, …
	span_ms {int} NOT NULL,
	at_ms {int} NOT NULL,              -- when the span began
	n {int} NOT NULL,
	PRIMARY KEY (name, span_ms, at_ms)
) {strict keyed};
