-- What keeps the ids of events apart when a review was purged and is read again: its changes are counted from one
-- again. 0: it was stored before there was this.
ALTER TABLE reviews ADD COLUMN generation {int} NOT NULL DEFAULT 0;
