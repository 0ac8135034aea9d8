-- Links can be revoked and say who made them; a flow knows its link and how it ended.
ALTER TABLE link_tickets ADD COLUMN made_by TEXT;
ALTER TABLE link_tickets ADD COLUMN revoked_at_ms {int};
CREATE INDEX link_tickets_by_client ON link_tickets (client_id);
ALTER TABLE connect_flows ADD COLUMN ticket_hash {bytes};  -- NULL: begun by key or session
ALTER TABLE connect_flows ADD COLUMN ended_as TEXT;
ALTER TABLE connect_flows ADD COLUMN ended_detail TEXT; -- JSON
ALTER TABLE connect_flows ADD COLUMN ended_at_ms {int};

-- A person at a browser, with the rights of the key that signed in. Only the hash of the cookie.
CREATE TABLE sessions (
	id TEXT PRIMARY KEY,
	hash {bytes} NOT NULL,
	key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
	created_at_ms {int} NOT NULL,
	expires_at_ms {int} NOT NULL,
	last_used_at_ms {int} NOT NULL,
	revoked_at_ms {int},
	remote TEXT
) {strict};
CREATE INDEX sessions_by_end ON sessions (expires_at_ms);
CREATE INDEX sessions_by_key ON sessions (key_id);

CREATE TABLE sign_in_links (
	link_hash {bytes} PRIMARY KEY,
	key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
	created_at_ms {int} NOT NULL,
	expires_at_ms {int} NOT NULL,
	used_at_ms {int}
) {strict};
CREATE INDEX sign_in_links_by_end ON sign_in_links (expires_at_ms);
