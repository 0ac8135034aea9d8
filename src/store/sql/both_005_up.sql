-- Connections brought in with a refresh token that they have already. The rows of clients and tokens are
-- written at once, as `pending`; the first refresh verifies them.
CREATE TABLE imports (
	id TEXT PRIMARY KEY,
	actor TEXT NOT NULL,
	remote TEXT,
	on_conflict TEXT NOT NULL,           -- keep, replace: what happens to a branch that exists
	lines {int} NOT NULL DEFAULT 0,    -- received so far
	is_whole {int} NOT NULL DEFAULT 0, -- the end of what was sent has come
	created_at_ms {int} NOT NULL,
	updated_at_ms {int} NOT NULL
) {strict};
CREATE INDEX imports_by_age ON imports (created_at_ms, id);

-- What became of each line. No secret, and no reference to the client, which the report outlives.
CREATE TABLE import_lines (
	import_id TEXT NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
	line {int} NOT NULL,
	branch_id TEXT,
	client_id {int},
	state TEXT NOT NULL,                 -- waiting, app_refused, verified, failed, invalid, exists
	reason TEXT,
	settled_at_ms {int},
	PRIMARY KEY (import_id, line)
) {strict keyed};
CREATE INDEX import_lines_open ON import_lines (client_id) WHERE state IN ('waiting', 'app_refused');
CREATE INDEX import_lines_by_state ON import_lines (import_id, state, settled_at_ms);

-- Which tokens were imported once: the same line sent again must not bring back a token that the provider
-- has replaced since. identity is a hash of branch and token.
CREATE TABLE imported_tokens (
	identity {bytes} PRIMARY KEY,
	client_id {int} NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
	at_ms {int} NOT NULL
) {strict};
CREATE INDEX imported_tokens_by_client ON imported_tokens (client_id);
