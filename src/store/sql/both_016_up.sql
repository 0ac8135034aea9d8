-- How many starts of the quota were taken in this minute of the database's clock and in the one before: what is left
-- of it, for people to see.
ALTER TABLE api_budgets ADD COLUMN minute {int} NOT NULL DEFAULT 0;
ALTER TABLE api_budgets ADD COLUMN minute_starts {int} NOT NULL DEFAULT 0;
ALTER TABLE api_budgets ADD COLUMN before_starts {int} NOT NULL DEFAULT 0;

-- The audit still takes no change and loses no row, but those from before an instant (AUDIT_RETENTION_DAYS).
-- No row: none.
CREATE TABLE audit_bound (one {int} PRIMARY KEY CHECK (one = 1), before_ms {int} NOT NULL) {strict};
CREATE INDEX audit_by_age ON audit (at_ms);
-- only sqlite
DROP TRIGGER audit_keeps_rows;
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
	WHEN old.at_ms >= COALESCE((SELECT before_ms FROM audit_bound), 0)
	BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
-- only postgresql
CREATE OR REPLACE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN
	IF TG_OP = 'DELETE' AND OLD.at_ms < COALESCE((SELECT before_ms FROM audit_bound), 0) THEN RETURN OLD; END IF;
	RAISE EXCEPTION 'audit is append-only'; END $$;
