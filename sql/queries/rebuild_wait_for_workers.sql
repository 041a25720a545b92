-- Waits until no connection of an earlier rebuild, whose process was killed, can write any more.
select pg_advisory_lock(7310592054), pg_advisory_unlock(7310592054)
