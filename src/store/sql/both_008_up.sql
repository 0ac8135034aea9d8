-- The names that Google gives a refresh token in a security event, hashed once more; empty: it has none.
-- NULL beside a token: not named yet, which is made up for.
ALTER TABLE tokens ADD COLUMN refresh_hash {bytes};
ALTER TABLE tokens ADD COLUMN refresh_prefix {bytes};
-- Since when Google has disabled the account, by its own word; NULL: it has not.
ALTER TABLE tokens ADD COLUMN suspended_at_ms {int};
CREATE INDEX tokens_by_refresh_hash ON tokens (refresh_hash) WHERE refresh_hash IS NOT NULL;
CREATE INDEX tokens_by_refresh_prefix ON tokens (refresh_prefix) WHERE refresh_prefix IS NOT NULL;
CREATE INDEX tokens_nameless ON tokens (client_id) WHERE refresh_hash IS NULL AND refresh_token IS NOT NULL;

-- What Google told of accounts and tokens: each once, and until it is done.
CREATE TABLE security_events (
	jti_hash {bytes} NOT NULL,
	kind TEXT NOT NULL,
	audience TEXT NOT NULL,              -- OAuth client ids, one a line
	subject TEXT,                        -- the Google account, until it is done
	refresh_hash {bytes},                -- or the token, as in tokens
	refresh_prefix {bytes},
	reason TEXT,
	issued_at_ms {int} NOT NULL,
	received_at_ms {int} NOT NULL,
	after_row {int} NOT NULL DEFAULT 0, -- connections up to this one have been seen to
	done_at_ms {int},
	PRIMARY KEY (jti_hash, kind)
) {strict keyed};
CREATE INDEX security_events_by_age ON security_events (received_at_ms);
CREATE INDEX security_events_open ON security_events (received_at_ms) WHERE done_at_ms IS NULL;
