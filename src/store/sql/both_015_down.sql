DROP TABLE reply_requests;
DROP INDEX location_parents_of_account;
DROP INDEX reviews_gone;
DROP INDEX reviews_unanswered;
DROP INDEX reviews_by_rating;
-- only sqlite
DROP TRIGGER review_words_changed;
DROP TRIGGER review_words_removed;
DROP TRIGGER review_words_added;
DROP TABLE review_words;
-- only postgresql
DROP INDEX reviews_by_words;
ALTER TABLE reviews DROP COLUMN words;
DROP FUNCTION review_bare(TEXT);
DROP FUNCTION review_plain(TEXT);
-- all
