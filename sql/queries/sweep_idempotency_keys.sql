-- Idempotency keys past their time.
delete from idempotency_keys where created_at < clock_timestamp() - make_interval(secs => 3600.0 * %(hours)s)
