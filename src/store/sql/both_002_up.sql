-- Work that one process at a time does. A taker raises the fence; a holder raises the beat. Nobody's wall
-- clock counts: who waits watches (fence, beat) by its own monotonic clock.
CREATE TABLE leases (
	name TEXT PRIMARY KEY,
	owner TEXT,                          -- NULL: given back
	fence {int} NOT NULL,
	beat {int} NOT NULL
) {strict keyed};

-- The outbox: one row a change, written in the transaction that stores the change. With one writer at a
-- time positions are committed in order; docs/internals/outbox.md says how it is elsewhere.
CREATE TABLE events (
-- only sqlite
	position {id},
-- only postgresql
	id {id},
	position BIGINT UNIQUE,              -- NULL until it is ordered
-- all
	event_id TEXT NOT NULL UNIQUE,       -- of kind and key: the same change never makes two rows
	kind TEXT NOT NULL,
	branch_id TEXT,
	ref TEXT NOT NULL,                   -- review id, client id, job id
	account_id TEXT,
	location_id TEXT,
	data TEXT NOT NULL,                  -- a JSON object
	at_ms {int} NOT NULL
) {strict};

-- One row: positions up to this one have been purged.
CREATE TABLE events_state (
	one {int} PRIMARY KEY CHECK (one = 1),
	purged_to {int} NOT NULL
) {strict};
INSERT INTO events_state (one, purged_to) VALUES (1, 0);

-- Who takes every event in order and remembers how far it is. A write counts only under the newest fence.
CREATE TABLE event_consumers (
	name TEXT PRIMARY KEY,
	position {int} NOT NULL,
	fence {int} NOT NULL,
	updated_at_ms {int} NOT NULL
) {strict keyed};
