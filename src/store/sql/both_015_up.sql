-- Words of reviews, for people who look for them. Always as the reviews are: kept by the engine itself, in
-- the transaction that changes a review.
-- only sqlite
-- No sizes of columns: they are for ranks, and reviews are ordered by time.
CREATE VIRTUAL TABLE review_words USING fts5(comment, reviewer_name, content='reviews', content_rowid='id',
	columnsize=0, tokenize='unicode61 remove_diacritics 2');
INSERT INTO review_words (review_words) VALUES ('rebuild');
-- Rows without words too: to delete what was never added is a damaged index to SQLite.
CREATE TRIGGER review_words_added AFTER INSERT ON reviews
BEGIN
	INSERT INTO review_words (rowid, comment, reviewer_name)
	VALUES (new.id, new.comment, new.reviewer_name);
END;
CREATE TRIGGER review_words_removed AFTER DELETE ON reviews
BEGIN
	INSERT INTO review_words (review_words, rowid, comment, reviewer_name)
	VALUES ('delete', old.id, old.comment, old.reviewer_name);
END;
CREATE TRIGGER review_words_changed AFTER UPDATE OF comment, reviewer_name ON reviews
	WHEN old.comment IS NOT new.comment OR old.reviewer_name IS NOT new.reviewer_name
BEGIN
	INSERT INTO review_words (review_words, rowid, comment, reviewer_name)
	VALUES ('delete', old.id, old.comment, old.reviewer_name);
	INSERT INTO review_words (rowid, comment, reviewer_name)
	VALUES (new.id, new.comment, new.reviewer_name);
END;
-- only postgresql
-- Without accents and without the signs that PostgreSQL's parser would make addresses and numbers of.
CREATE FUNCTION review_plain(TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
	'SELECT translate(regexp_replace(normalize($1, NFD), ''[\u0300-\u036f]'', '''', ''g''),
	''‘’‚“”„«»‹›…–—·•¡¿、。！？'', repeat('' '', 21))';
CREATE FUNCTION review_bare(TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
	'SELECT translate(regexp_replace(normalize(left($1, 16384), NFD), ''[\u0300-\u036f]'', '''', ''g''),
	''‘’‚“”„«»‹›…–—·•¡¿、。！？!"#$%&''''()*+,-./:;<=>?@[\]^_`|~'' || chr(123) || chr(125), repeat('' '', 53))';
ALTER TABLE reviews ADD COLUMN words TSVECTOR GENERATED ALWAYS AS
	(to_tsvector('simple', review_bare(COALESCE(comment, '')))
	|| to_tsvector('simple', review_bare(COALESCE(reviewer_name, '')))) STORED;
CREATE INDEX reviews_by_words ON reviews USING gin (words);
-- all

CREATE INDEX reviews_by_rating ON reviews (rating, review_updated_us, id) WHERE deleted_at_ms IS NULL;
CREATE INDEX reviews_unanswered ON reviews (review_updated_us, id)
	WHERE deleted_at_ms IS NULL AND reply_text IS NULL;
CREATE INDEX reviews_gone ON reviews (review_updated_us, id) WHERE deleted_at_ms IS NOT NULL;
CREATE INDEX location_parents_of_account ON location_parents (account_id, location_id);

-- Replies that were asked for under a key of the caller's: the same one asked again is answered again.
CREATE TABLE reply_requests (
	actor TEXT NOT NULL,
	idempotency_key TEXT NOT NULL,
	request_hash {bytes} NOT NULL,       -- of review, act and words
	owner TEXT NOT NULL,                 -- the process that does it
	lease_until_us {int} NOT NULL,
	answer TEXT,                         -- NULL: it is under way, or its process died
	created_at_ms {int} NOT NULL,
	PRIMARY KEY (actor, idempotency_key)
) {strict keyed};
CREATE INDEX reply_requests_by_age ON reply_requests (created_at_ms);
