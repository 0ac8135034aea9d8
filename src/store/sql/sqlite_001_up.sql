-- Clients and tokens grow out of the original service's tables of the same names.
CREATE TABLE clients (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	client_id TEXT,                      -- OAuth client id; NULL: the default app of the settings
	client_secret BLOB,                  -- sealed
	client_secret_previous BLOB,         -- sealed; usable until client_secret_previous_until_ms
	client_secret_previous_until_ms INTEGER,
	redirect_uri TEXT NOT NULL,
	branch_id TEXT NOT NULL UNIQUE,
	workspace_email TEXT NOT NULL,
	workspace_name TEXT NOT NULL,
	provider TEXT NOT NULL DEFAULT 'google',
	is_active INTEGER NOT NULL DEFAULT 1,
	status TEXT NOT NULL DEFAULT 'pending',
	status_reason TEXT,
	status_since_ms INTEGER NOT NULL,
	created_at_ms INTEGER NOT NULL,
	updated_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX clients_by_status ON clients (status, id);
CREATE INDEX clients_by_app ON clients (client_id);

-- One row a connection. The lease (owner, until, fence) lets one process at a time refresh it; a result
-- is written only while its fence still holds.
CREATE TABLE tokens (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	client_id INTEGER NOT NULL UNIQUE REFERENCES clients (id) ON DELETE CASCADE,
	access_token BLOB,                   -- sealed
	refresh_token BLOB,                  -- sealed
	token_type TEXT NOT NULL DEFAULT 'Bearer',
	scope TEXT,                          -- as granted
	requested_scope TEXT,
	google_subject TEXT,                 -- the account that consented, from the ID token
	google_email TEXT,
	expires_at_ms INTEGER,
	lifetime_ms INTEGER,                 -- as issued
	refresh_token_expires_at_ms INTEGER,
	is_valid INTEGER NOT NULL DEFAULT 1,
	is_revoked INTEGER NOT NULL DEFAULT 0,
	last_refreshed_at_ms INTEGER,
	next_refresh_at_ms INTEGER,
	refresh_failures INTEGER NOT NULL DEFAULT 0,
	retry_at_ms INTEGER,                 -- no refresh before it after a failure
	lease_owner TEXT,
	lease_until_ms INTEGER,
	fence INTEGER NOT NULL DEFAULT 0,
	created_at_ms INTEGER NOT NULL,
	updated_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_by_due ON tokens (next_refresh_at_ms);
-- Who shares a grant: one revocation ends all of an account.
CREATE INDEX tokens_by_account ON tokens (google_subject, client_id) WHERE google_subject IS NOT NULL;

-- A consent flow between its start and its callback. Only hashes of what the browser holds.
CREATE TABLE connect_flows (
	state_hash BLOB PRIMARY KEY,
	client_id INTEGER NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
	browser_hash BLOB NOT NULL,
	code_verifier BLOB NOT NULL,         -- sealed
	provider TEXT NOT NULL,
	token_url TEXT NOT NULL,             -- where the code may be spent, fixed at the start
	issuer TEXT,
	redirect_uri TEXT NOT NULL,
	scope TEXT NOT NULL,
	created_at_ms INTEGER NOT NULL,
	expires_at_ms INTEGER NOT NULL,
	used_at_ms INTEGER
) STRICT;
CREATE INDEX connect_flows_by_end ON connect_flows (expires_at_ms);

CREATE TABLE link_tickets (
	ticket_hash BLOB PRIMARY KEY,
	client_id INTEGER NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
	browser_hash BLOB,                   -- the browser that opened it first
	created_at_ms INTEGER NOT NULL,
	expires_at_ms INTEGER NOT NULL,
	used_at_ms INTEGER
) STRICT;
CREATE INDEX link_tickets_by_end ON link_tickets (expires_at_ms);

CREATE TABLE api_keys (
	id TEXT PRIMARY KEY,
	name TEXT NOT NULL,
	hash BLOB NOT NULL,
	scopes TEXT NOT NULL,                -- blank-separated
	branches TEXT,                       -- JSON array; NULL: all
	per_minute INTEGER,                  -- NULL: no rate
	created_at_ms INTEGER NOT NULL,
	expires_at_ms INTEGER,
	revoked_at_ms INTEGER,
	last_used_at_ms INTEGER
) STRICT;

CREATE TABLE changes (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	kind TEXT NOT NULL,
	ref TEXT NOT NULL,
	at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	at_ms INTEGER NOT NULL,
	actor TEXT NOT NULL,
	action TEXT NOT NULL,
	branch_id TEXT,
	detail TEXT,                         -- JSON
	remote TEXT
) STRICT;
CREATE INDEX audit_by_branch ON audit (branch_id, id);
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_keeps_words BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;

-- Reviews. Ids from Google are text. A location is one place however many accounts and branches see it.
CREATE TABLE accounts (
	branch_id TEXT NOT NULL,             -- '' for a job that brought its own access token
	account_id TEXT NOT NULL,            -- without 'accounts/'
	name TEXT,
	type TEXT,
	role TEXT,
	raw TEXT NOT NULL,
	created_at_ms INTEGER NOT NULL,
	updated_at_ms INTEGER NOT NULL,
	PRIMARY KEY (branch_id, account_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE locations (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	location_id TEXT NOT NULL UNIQUE,    -- without 'locations/'
	title TEXT,
	store_code TEXT,
	address TEXT,
	phone TEXT,
	category TEXT,
	raw TEXT NOT NULL,
	average_rating REAL,                 -- as Google says
	total_review_count INTEGER,          -- as Google says
	last_synced_at_ms INTEGER,
	last_error TEXT,
	created_at_ms INTEGER NOT NULL,
	updated_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE location_parents (
	branch_id TEXT NOT NULL,
	account_id TEXT NOT NULL,
	location_id TEXT NOT NULL REFERENCES locations (location_id) ON DELETE CASCADE,
	PRIMARY KEY (location_id, branch_id, account_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX location_parents_by_branch ON location_parents (branch_id, location_id);

CREATE TABLE reviews (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	location_id TEXT NOT NULL REFERENCES locations (location_id) ON DELETE CASCADE,
	review_id TEXT NOT NULL,
	account_id TEXT NOT NULL,            -- through which it was read last
	rating INTEGER,                      -- 1 to 5; NULL: unknown to Google or to us
	comment TEXT,
	reviewer_name TEXT,
	reviewer_photo_url TEXT,
	is_anonymous INTEGER NOT NULL DEFAULT 0,
	review_created_us INTEGER,
	review_updated_us INTEGER NOT NULL DEFAULT 0, -- 0: Google did not say
	reply_text TEXT,
	reply_updated_us INTEGER,
	reply_state TEXT,
	raw TEXT NOT NULL,
	content_hash BLOB NOT NULL,
	created_at_ms INTEGER NOT NULL,
	updated_at_ms INTEGER NOT NULL,
	last_seen_ms INTEGER NOT NULL,
	last_walk_id INTEGER NOT NULL DEFAULT 0, -- the walk that saw it last: a job counts each review once
	deleted_at_ms INTEGER,
	UNIQUE (location_id, review_id)
) STRICT;
CREATE INDEX reviews_by_update ON reviews (review_updated_us, id) WHERE deleted_at_ms IS NULL;
CREATE INDEX reviews_by_location ON reviews (location_id, review_updated_us, id) WHERE deleted_at_ms IS NULL;

CREATE TABLE jobs (
	id TEXT PRIMARY KEY,
	branch_id TEXT,                      -- NULL: with an access token of its own
	mode TEXT NOT NULL,
	status TEXT NOT NULL,
	waiting_until_ms INTEGER,
	error TEXT,
	accounts INTEGER NOT NULL DEFAULT 0,
	locations INTEGER NOT NULL DEFAULT 0,
	reviews INTEGER NOT NULL DEFAULT 0,
	reviews_new INTEGER NOT NULL DEFAULT 0,
	reviews_changed INTEGER NOT NULL DEFAULT 0,
	reviews_unchanged INTEGER NOT NULL DEFAULT 0,
	pages INTEGER NOT NULL DEFAULT 0,
	google_calls INTEGER NOT NULL DEFAULT 0,
	cancel_requested INTEGER NOT NULL DEFAULT 0,
	lease_owner TEXT,
	lease_until_ms INTEGER,
	fence INTEGER NOT NULL DEFAULT 0,
	created_at_ms INTEGER NOT NULL,
	started_at_ms INTEGER,
	finished_at_ms INTEGER
) STRICT;
CREATE INDEX jobs_by_status ON jobs (status, created_at_ms);
CREATE INDEX jobs_by_branch ON jobs (branch_id, created_at_ms);
CREATE INDEX jobs_by_age ON jobs (created_at_ms, id);
-- An identical job that has not ended is joined, not doubled.
CREATE UNIQUE INDEX jobs_one_live ON jobs (branch_id, mode)
	WHERE status IN ('queued', 'running', 'waiting') AND cancel_requested = 0;

-- One listing to walk: the accounts of a job, the locations of an account, the reviews of a location.
-- The rows of a page and its cursor move in one transaction.
CREATE TABLE job_walks (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
	kind TEXT NOT NULL,                  -- accounts, locations, reviews
	account_id TEXT NOT NULL DEFAULT '',
	location_id TEXT NOT NULL DEFAULT '',
	page_token TEXT,                     -- the next page; NULL: the first
	mark_token TEXT,                     -- an earlier page_token: meeting it again is a circle
	pass INTEGER NOT NULL DEFAULT 1,     -- how often the listing was begun
	pass_pages INTEGER NOT NULL DEFAULT 0,
	pass_started_ms INTEGER NOT NULL,    -- rows seen since then were seen in this pass
	recounts INTEGER NOT NULL DEFAULT 0, -- passes begun because the count disagreed
	rows_seen INTEGER NOT NULL DEFAULT 0, -- in this pass
	rows_expected INTEGER,               -- totalReviewCount
	state TEXT NOT NULL,                 -- open, done, failed
	error TEXT,
	UNIQUE (job_id, kind, account_id, location_id)
) STRICT;
CREATE INDEX job_walks_by_state ON job_walks (job_id, state, id);
-- A location that several accounts of a job show is walked once.
CREATE UNIQUE INDEX job_walks_one_location ON job_walks (job_id, location_id) WHERE kind = 'reviews';
