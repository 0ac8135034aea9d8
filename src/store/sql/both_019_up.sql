-- How people rate, by the day of the last update: always as the reviews are, kept by the engine itself in the
-- transaction that changes a review, so that charts over millions of them are a few thousand rows.
CREATE TABLE review_days (
	day {int} NOT NULL,                  -- since 1970
	rating {int} NOT NULL,               -- 0: none that is known
	is_answered {int} NOT NULL,
	part {int} NOT NULL,                 -- who counted; only the sum over them means anything
	n {int} NOT NULL,
	PRIMARY KEY (day, rating, is_answered, part)
) {strict keyed};
-- only postgresql
-- An older process may be writing: what it stores must be either counted here or seen by the triggers.
LOCK TABLE reviews IN SHARE ROW EXCLUSIVE MODE;
-- all
INSERT INTO review_days (day, rating, is_answered, part, n)
	SELECT review_updated_us / 86400000000, COALESCE(rating, 0), CASE WHEN reply_text IS NULL THEN 0 ELSE 1 END, 0, count(*)
	FROM reviews WHERE deleted_at_ms IS NULL AND review_updated_us > 0 GROUP BY 1, 2, 3;
-- only sqlite
CREATE TRIGGER review_days_added AFTER INSERT ON reviews
	WHEN new.deleted_at_ms IS NULL AND new.review_updated_us > 0
BEGIN
	INSERT INTO review_days (day, rating, is_answered, part, n)
	VALUES (new.review_updated_us / 86400000000, COALESCE(new.rating, 0), new.reply_text IS NOT NULL, 0, 1)
	ON CONFLICT (day, rating, is_answered, part) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER review_days_removed AFTER DELETE ON reviews
	WHEN old.deleted_at_ms IS NULL AND old.review_updated_us > 0
BEGIN
	UPDATE review_days SET n = n - 1 WHERE day = old.review_updated_us / 86400000000
		AND rating = COALESCE(old.rating, 0) AND is_answered = (old.reply_text IS NOT NULL) AND part = 0;
END;
CREATE TRIGGER review_days_changed AFTER UPDATE OF rating, review_updated_us, reply_text, deleted_at_ms ON reviews
	WHEN old.rating IS NOT new.rating OR (old.deleted_at_ms IS NULL) <> (new.deleted_at_ms IS NULL)
		OR (old.reply_text IS NULL) <> (new.reply_text IS NULL)
		OR (old.review_updated_us > 0) <> (new.review_updated_us > 0)
		OR old.review_updated_us / 86400000000 <> new.review_updated_us / 86400000000
BEGIN
	UPDATE review_days SET n = n - 1 WHERE old.deleted_at_ms IS NULL AND old.review_updated_us > 0
		AND day = old.review_updated_us / 86400000000 AND rating = COALESCE(old.rating, 0)
		AND is_answered = (old.reply_text IS NOT NULL) AND part = 0;
	INSERT INTO review_days (day, rating, is_answered, part, n)
	SELECT new.review_updated_us / 86400000000, COALESCE(new.rating, 0), new.reply_text IS NOT NULL, 0, 1
	WHERE new.deleted_at_ms IS NULL AND new.review_updated_us > 0
	ON CONFLICT (day, rating, is_answered, part) DO UPDATE SET n = n + 1;
END;
-- only postgresql
-- Each session counts in a part of its own: two transactions that store reviews of the same day never meet.
CREATE FUNCTION review_days_keep() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN
		IF TG_OP <> 'INSERT' AND OLD.deleted_at_ms IS NULL AND OLD.review_updated_us > 0 THEN
			INSERT INTO review_days AS d (day, rating, is_answered, part, n)
			VALUES (OLD.review_updated_us / 86400000000, COALESCE(OLD.rating, 0),
				(OLD.reply_text IS NOT NULL)::int, pg_backend_pid() % 64, -1)
			ON CONFLICT (day, rating, is_answered, part) DO UPDATE SET n = d.n - 1;
		END IF;
		IF TG_OP <> 'DELETE' AND NEW.deleted_at_ms IS NULL AND NEW.review_updated_us > 0 THEN
			INSERT INTO review_days AS d (day, rating, is_answered, part, n)
			VALUES (NEW.review_updated_us / 86400000000, COALESCE(NEW.rating, 0),
				(NEW.reply_text IS NOT NULL)::int, pg_backend_pid() % 64, 1)
			ON CONFLICT (day, rating, is_answered, part) DO UPDATE SET n = d.n + 1;
		END IF;
		RETURN NULL;
	END $$;
CREATE TRIGGER review_days_moved AFTER INSERT OR DELETE ON reviews FOR EACH ROW EXECUTE FUNCTION review_days_keep();
CREATE TRIGGER review_days_changed AFTER UPDATE OF rating, review_updated_us, reply_text, deleted_at_ms ON reviews
	FOR EACH ROW WHEN (OLD.rating IS DISTINCT FROM NEW.rating
		OR (OLD.deleted_at_ms IS NULL) <> (NEW.deleted_at_ms IS NULL)
		OR (OLD.reply_text IS NULL) <> (NEW.reply_text IS NULL)
		OR (OLD.review_updated_us > 0) <> (NEW.review_updated_us > 0)
		OR OLD.review_updated_us / 86400000000 <> NEW.review_updated_us / 86400000000)
	EXECUTE FUNCTION review_days_keep();
-- all
