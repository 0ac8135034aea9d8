-- When what is read again. A branch wakes at the earliest of its due times; NULL: it cannot be read now, and
-- waits for its connection.
CREATE TABLE branch_schedules (
	branch_id TEXT PRIMARY KEY,
	due_ms {int},
	places_due_ms {int} NOT NULL DEFAULT 0 -- accounts and locations are listed again
) {strict keyed};
CREATE INDEX branch_schedules_by_due ON branch_schedules (due_ms) WHERE due_ms IS NOT NULL;

-- A location is read through one branch, however many show it.
CREATE TABLE location_schedules (
	location_id TEXT PRIMARY KEY REFERENCES locations (location_id) ON DELETE CASCADE,
	branch_id TEXT NOT NULL,
	jitter {int} NOT NULL,             -- 0 to 999, by hash
	quick_due_ms {int} NOT NULL,
	full_due_ms {int} NOT NULL
) {strict keyed};
CREATE INDEX location_schedules_by_quick ON location_schedules (branch_id, quick_due_ms);
CREATE INDEX location_schedules_by_full ON location_schedules (branch_id, full_due_ms);

-- A job for the locations that were due does not stand for one that reads all.
ALTER TABLE jobs ADD COLUMN scope TEXT NOT NULL DEFAULT 'all';      -- or 'due'
ALTER TABLE jobs ADD COLUMN origin TEXT NOT NULL DEFAULT 'request'; -- or 'schedule'
DROP INDEX jobs_one_live;
CREATE UNIQUE INDEX jobs_one_live ON jobs (branch_id, mode, scope)
	WHERE status IN ('queued', 'running', 'waiting') AND cancel_requested = 0;

-- Branches whose reviews are to be purged, until it is done.
CREATE TABLE purges (
	branch_id TEXT PRIMARY KEY,
	requested_at_ms {int} NOT NULL
) {strict keyed};
