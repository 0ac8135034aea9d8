DROP TABLE security_events;
DROP INDEX tokens_nameless;
DROP INDEX tokens_by_refresh_prefix;
DROP INDEX tokens_by_refresh_hash;
ALTER TABLE tokens DROP COLUMN suspended_at_ms;
ALTER TABLE tokens DROP COLUMN refresh_prefix;
ALTER TABLE tokens DROP COLUMN refresh_hash;
