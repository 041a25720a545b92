-- Whoever has these rows moves neither table; that of `jobs` comes first.
select name, position from checkpoints where name in ('jobs', 'jobs_next') order by name for update
