-- The table that was replaced.
drop table jobs_old
