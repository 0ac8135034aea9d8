-- only sqlite
DROP TRIGGER client_names_changed;
DROP TRIGGER client_names_removed;
DROP TRIGGER client_names_added;
DROP TABLE client_names;
-- only postgresql
DROP INDEX clients_by_grams;
ALTER TABLE clients DROP COLUMN names;
DROP FUNCTION client_grams(TEXT);
-- all
