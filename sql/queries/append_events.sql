-- One batch, one round trip. Called in autocommit and alone: nothing else happens while the log's lock is held.
select * from append_events(%s, %s, %s, %s, %s, %s, %s, %s, %s)
