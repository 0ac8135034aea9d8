ALTER TABLE reviews DROP COLUMN generation;
