-- The next jobs, by their ids and after one (null: from the first), that have failed since a time. Found by jobs_unsuccessful, whose
-- rows are walked through once, however many pages there are.
-- The error is looked at as it is written, without being parsed: a text in it that cannot be read would spoil the statement.
select
    j.id::text,
    j.version, j.state, j.type, j.priority, j.attempts, j.used, j.max_attempts, j.created_at, j.updated_at,
    j.worker, j.outcome, j.result::text, j.error::text, j.due_at, j.queued_position, j.tags
from jobs j
where j.status = 'failed'
  and j.updated_at >= %(since)s
  and (%(type)s::text is null or j.type = %(type)s)
  and (%(error)s::text is null or strpos(lower(j.error::text), lower(%(error)s)) > 0)
  and (%(after)s::uuid is null or j.id > %(after)s::uuid)
order by j.id
limit %(limit)s
