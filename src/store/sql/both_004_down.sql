DROP TABLE sign_in_links;
DROP TABLE sessions;
ALTER TABLE connect_flows DROP COLUMN ended_at_ms;
ALTER TABLE connect_flows DROP COLUMN ended_detail;
ALTER TABLE connect_flows DROP COLUMN ended_as;
ALTER TABLE connect_flows DROP COLUMN ticket_hash;
DROP INDEX link_tickets_by_client;
ALTER TABLE link_tickets DROP COLUMN revoked_at_ms;
ALTER TABLE link_tickets DROP COLUMN made_by;
