-- How many jobs the new table has, and of how many events.
select count(*), coalesce(sum(version), 0)::bigint from jobs_next
