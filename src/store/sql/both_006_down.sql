DROP INDEX tokens_by_due;
CREATE INDEX tokens_by_due ON tokens (next_refresh_at_ms);
ALTER TABLE tokens DROP COLUMN provider;
ALTER TABLE clients DROP COLUMN key_id;
ALTER TABLE clients DROP COLUMN scope;
