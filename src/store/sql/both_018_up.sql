-- Parts of names of connections, for people who look for them, wherever they stand. Kept by the engine
-- itself, in the transaction that changes a connection.
-- only sqlite
CREATE VIRTUAL TABLE client_names USING fts5(branch_id, workspace_email, workspace_name, content='clients',
	content_rowid='id', columnsize=0, tokenize='trigram');
INSERT INTO client_names (client_names) VALUES ('rebuild');
CREATE TRIGGER client_names_added AFTER INSERT ON clients
BEGIN
	INSERT INTO client_names (rowid, branch_id, workspace_email, workspace_name)
	VALUES (new.id, new.branch_id, new.workspace_email, new.workspace_name);
END;
CREATE TRIGGER client_names_removed AFTER DELETE ON clients
BEGIN
	INSERT INTO client_names (client_names, rowid, branch_id, workspace_email, workspace_name)
	VALUES ('delete', old.id, old.branch_id, old.workspace_email, old.workspace_name);
END;
CREATE TRIGGER client_names_changed AFTER UPDATE OF branch_id, workspace_email, workspace_name ON clients
	WHEN old.branch_id <> new.branch_id OR old.workspace_email <> new.workspace_email
	OR old.workspace_name <> new.workspace_name
BEGIN
	INSERT INTO client_names (client_names, rowid, branch_id, workspace_email, workspace_name)
	VALUES ('delete', old.id, old.branch_id, old.workspace_email, old.workspace_name);
	INSERT INTO client_names (rowid, branch_id, workspace_email, workspace_name)
	VALUES (new.id, new.branch_id, new.workspace_email, new.workspace_name);
END;
-- only postgresql
-- Its own parts of three letters: pg_trgm is not everywhere.
CREATE FUNCTION client_grams(TEXT) RETURNS TEXT[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
	'SELECT array_agg(substr($1, i, 3)) FROM generate_series(1, length($1) - 2) i';
ALTER TABLE clients ADD COLUMN names TEXT GENERATED ALWAYS AS
	(lower(branch_id || chr(10) || workspace_email || chr(10) || workspace_name)) STORED;
CREATE INDEX clients_by_grams ON clients USING gin (client_grams(names));
-- all
