-- Idempotency keys past their time. By the statement's time, since a volatile clock_timestamp() keeps PostgreSQL off the index.
delete from idempotency_keys where created_at < statement_timestamp() - make_interval(secs => 3600.0 * %(hours)s)
