-- Held by each connection that fills the new table, for as long as it lives.
select pg_advisory_lock_shared(7310592054)
