-- Since when a job queues again, after it made room for others; NULL: since it was made.
ALTER TABLE jobs ADD COLUMN turn_ms {int};
