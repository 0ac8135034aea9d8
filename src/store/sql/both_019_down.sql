-- only sqlite
DROP TRIGGER review_days_changed;
DROP TRIGGER review_days_removed;
DROP TRIGGER review_days_added;
-- only postgresql
DROP TRIGGER review_days_changed ON reviews;
DROP TRIGGER review_days_moved ON reviews;
DROP FUNCTION review_days_keep();
-- all
DROP TABLE review_days;
