-- What each worker said last.
select id, counter, claims_from from workers
