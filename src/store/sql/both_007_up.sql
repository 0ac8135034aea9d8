-- What happened to a review, once each. The first sight ('new') bears no copy; n counts the changes of one
-- review, and (location, review, n) makes the id of the event.
CREATE TABLE review_changes (
	review {int} NOT NULL REFERENCES reviews (id) ON DELETE CASCADE,
	n {int} NOT NULL,
	kind TEXT NOT NULL,                  -- new, edited, reply_added, reply_changed, reply_removed, deleted, restored
	changed_us {int},                  -- when it happened, as far as Google says
	detected_at_ms {int} NOT NULL,
	before_json TEXT,                    -- what changed
	after_json TEXT,
	PRIMARY KEY (review, n)
) {strict keyed};
ALTER TABLE reviews ADD COLUMN changes {int} NOT NULL DEFAULT 0;

-- What is known of a location, and up to when.
ALTER TABLE locations ADD COLUMN watermark_us {int};      -- the newest update when it was last complete; NULL: it never was
ALTER TABLE locations ADD COLUMN checked_at_ms {int};     -- what Google had before that is known
ALTER TABLE locations ADD COLUMN full_at_ms {int};        -- the last listing read from its start to its end
ALTER TABLE locations ADD COLUMN count_gap {int} NOT NULL DEFAULT 0; -- Google says so many more than it shows
ALTER TABLE locations ADD COLUMN parked_at_ms {int};      -- it cannot be read (last_error says why) …
ALTER TABLE locations ADD COLUMN parked_passes {int} NOT NULL DEFAULT 0; -- … so many passes in a row
ALTER TABLE locations ADD COLUMN retry_at_ms {int};       -- … and passes leave it alone until then

-- A place that was not in the newest whole listing of its branch is gone.
ALTER TABLE location_parents ADD COLUMN listed_at_ms {int} NOT NULL DEFAULT 0;
CREATE INDEX location_parents_by_account ON location_parents (branch_id, account_id, location_id);
CREATE TABLE branch_places (
	branch_id TEXT PRIMARY KEY,
	listed_at_ms {int} NOT NULL        -- when the newest whole listing of accounts and locations began
) {strict keyed};

ALTER TABLE jobs ADD COLUMN patient {int} NOT NULL DEFAULT 0; -- leaves parked locations alone
ALTER TABLE jobs ADD COLUMN walks_dropped {int} NOT NULL DEFAULT 0; -- what was read to its end is forgotten
ALTER TABLE jobs ADD COLUMN locations_done {int} NOT NULL DEFAULT 0; -- when it ended
ALTER TABLE jobs ADD COLUMN reviews_edited {int} NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN replies_added {int} NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN replies_changed {int} NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN replies_removed {int} NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN reviews_deleted {int} NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN reviews_restored {int} NOT NULL DEFAULT 0;
CREATE INDEX jobs_with_walks ON jobs (finished_at_ms) WHERE walks_dropped = 0;

ALTER TABLE job_walks ADD COLUMN is_full {int} NOT NULL DEFAULT 1; -- 0: to an overlap behind the watermark
ALTER TABLE job_walks ADD COLUMN probe_id TEXT;             -- the review that is asked for by its name
ALTER TABLE job_walks ADD COLUMN batch_id {int};          -- state 'hinted': that walk says whether to read it
ALTER TABLE job_walks ADD COLUMN low_us {int};            -- of a batch: the oldest update it has shown
CREATE INDEX job_walks_by_batch ON job_walks (batch_id) WHERE batch_id IS NOT NULL;
