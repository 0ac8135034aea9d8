-- The calendar of one Google API and Cloud project, from which all processes take their starts.
CREATE TABLE api_budgets (
	project TEXT NOT NULL,               -- number of the Cloud project; '' for tokens of unknown origin
	api TEXT NOT NULL,                   -- accounts, locations, reviews
	work_next_us {int} NOT NULL DEFAULT 0, -- the next free start of jobs, by the database's clock
	reserve_next_us {int} NOT NULL DEFAULT 0, -- the same of the reserve
	paused_until_us {int} NOT NULL DEFAULT 0, -- after a 429
	throttles {int} NOT NULL DEFAULT 0, -- 429s in a row
	answered_at_ms {int},              -- when Google last answered, to ten minutes
	diagnosis TEXT,                      -- why the project may not use the API, and what to do
	diagnosed_at_ms {int},
	PRIMARY KEY (project, api)
) {strict keyed};

-- Google takes ten edits a minute for a profile.
CREATE TABLE edit_budgets (
	location_id TEXT PRIMARY KEY,
	next_us {int} NOT NULL
) {strict keyed};
