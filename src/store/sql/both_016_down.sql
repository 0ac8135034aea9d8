-- only sqlite
DROP TRIGGER audit_keeps_rows;
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
-- only postgresql
CREATE OR REPLACE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN RAISE EXCEPTION 'audit is append-only'; END $$;
-- all
DROP INDEX audit_by_age;
DROP TABLE audit_bound;
ALTER TABLE api_budgets DROP COLUMN minute;
ALTER TABLE api_budgets DROP COLUMN minute_starts;
ALTER TABLE api_budgets DROP COLUMN before_starts;
