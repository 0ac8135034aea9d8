-- What the original service kept of a branch beside its newest tokens: older ones, as they were.
CREATE TABLE former_tokens (
	id {int} PRIMARY KEY,                -- as it was there
	client_id {int} NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
	former_access_token {bytes},         -- sealed
	former_refresh_token {bytes},        -- sealed
	token_type TEXT,
	scope TEXT,
	expires_at_ms {int},
	is_valid {int} NOT NULL,
	is_revoked {int} NOT NULL,
	last_refreshed_at_ms {int},
	created_at_ms {int} NOT NULL,
	updated_at_ms {int} NOT NULL
) {strict};
CREATE INDEX former_tokens_by_client ON former_tokens (client_id);
