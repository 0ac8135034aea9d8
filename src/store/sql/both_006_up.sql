-- Providers are data: what a client says beside its provider's record, and whose background a row waits for.
ALTER TABLE clients ADD COLUMN scope TEXT;   -- asked for in place of the provider's; NULL: the provider's
ALTER TABLE clients ADD COLUMN key_id TEXT;  -- of a private key that stands in client_secret
ALTER TABLE tokens ADD COLUMN provider TEXT NOT NULL DEFAULT 'google';
UPDATE tokens SET provider = (SELECT c.provider FROM clients c WHERE c.id = tokens.client_id);
-- Each provider's rows are read apart, so that those of one that fails are not in another's way.
DROP INDEX tokens_by_due;
CREATE INDEX tokens_by_due ON tokens (provider, next_refresh_at_ms);
