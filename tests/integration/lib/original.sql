-- The schema of the original service, written down from the description of its tables.
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
INSERT INTO alembic_version (version_num) VALUES ('001_tokens');

CREATE TABLE clients (
	id SERIAL NOT NULL,
	client_id VARCHAR(255) NOT NULL,
	client_secret VARCHAR(255) NOT NULL,
	redirect_uri VARCHAR(512) NOT NULL,
	branch_id VARCHAR(255) NOT NULL,
	workspace_email VARCHAR(255) NOT NULL,
	workspace_name VARCHAR(255) NOT NULL,
	is_active BOOLEAN NOT NULL DEFAULT true,
	created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL DEFAULT now(),
	updated_at TIMESTAMP WITHOUT TIME ZONE DEFAULT now(),
	PRIMARY KEY (id)
);
CREATE UNIQUE INDEX ix_clients_client_id ON clients (client_id);
CREATE UNIQUE INDEX ix_clients_branch_id ON clients (branch_id);

CREATE TABLE tokens (
	id SERIAL NOT NULL,
	client_id INTEGER NOT NULL,
	access_token TEXT NOT NULL,
	refresh_token TEXT,
	token_type VARCHAR(50) DEFAULT 'Bearer',
	scope TEXT,
	expires_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	is_valid BOOLEAN NOT NULL DEFAULT true,
	is_revoked BOOLEAN NOT NULL DEFAULT false,
	last_refreshed_at TIMESTAMP WITHOUT TIME ZONE,
	created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL DEFAULT now(),
	updated_at TIMESTAMP WITHOUT TIME ZONE DEFAULT now(),
	PRIMARY KEY (id),
	FOREIGN KEY (client_id) REFERENCES clients (id) ON DELETE CASCADE
);
CREATE INDEX ix_tokens_client_id ON tokens (client_id);
