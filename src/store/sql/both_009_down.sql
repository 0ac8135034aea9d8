DROP TABLE purges;
DROP INDEX jobs_one_live;
UPDATE jobs SET cancel_requested = 1 WHERE scope <> 'all' AND status IN ('queued', 'running', 'waiting');
ALTER TABLE jobs DROP COLUMN origin;
ALTER TABLE jobs DROP COLUMN scope;
CREATE UNIQUE INDEX jobs_one_live ON jobs (branch_id, mode)
	WHERE status IN ('queued', 'running', 'waiting') AND cancel_requested = 0;
DROP TABLE location_schedules;
DROP TABLE branch_schedules;
