DROP TABLE activity;
DROP INDEX tokens_by_expiry;
DROP INDEX clients_by_name;
DROP INDEX clients_by_state;
