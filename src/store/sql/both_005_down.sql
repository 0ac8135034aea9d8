DROP TABLE imported_tokens;
DROP TABLE import_lines;
DROP TABLE imports;
