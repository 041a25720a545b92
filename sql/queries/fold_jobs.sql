-- Folds the next page of the log into `jobs` and moves the checkpoint: one statement, so rows and checkpoint stand or fall together.
--
-- The checkpoint's row lock is the election of the projector: whoever does not get it answers no row and has done nothing.
-- Every column comes from the newest event of the page that sets it, and only a row of a lower version is changed, so folding
-- a page again is harmless. domain.job.evolve is the reference; tests hold both folds against each other.
--
-- Answers: the position before, the position after, the rows of the page (fewer than the distance: the log has a gap, and
-- nothing was done), and the first position whose event type is unknown (the page ends before it).
with checkpoint as materialized (
    select c.position from checkpoints c
    where c.name = 'jobs'
      -- FOR UPDATE gives the newest version of the row; if another projector has just moved it, this statement's snapshot is
      -- older than what that one wrote, and would miss its rows: then this one does nothing.
      and c.position = (select s.position from checkpoints s where s.name = 'jobs')
    for update skip locked
),
ahead as materialized (
    select e.position, e.job_id, e.version, e.type, e.data, e.content, e.recorded_at
    from checkpoint c
    join events e on e.position > c.position and e.position <= c.position + %(page)s
),
bounds as materialized (
    select c.position as before,
           coalesce(max(a.position) filter (where u.position is null or a.position < u.position), c.position) as after,
           count(a.position) filter (where u.position is null or a.position < u.position) as row_count,
           u.position as unknown_position
    from checkpoint c
    left join ahead a on true
    left join lateral (
        select min(x.position) as position from ahead x where x.type <> all (%(known)s::text[])
    ) u on true
    group by c.position, u.position
),
facts as (
    select a.job_id, a.version, a.position, a.type, a.recorded_at, a.content,
           a.data,
           a.type = 'Failed' or (a.type = 'Attempted' and a.data ->> 'outcome' <> 'released') as fails,
           row_number() over (partition by a.job_id order by a.version desc) = 1 as newest
    from ahead a
    join bounds b on a.position <= b.after and b.row_count = b.after - b.before
),
folded as materialized (
    select
        f.job_id as id,
        max(f.version) as version,
        max(f.type) filter (where f.newest) as state,
        max(f.recorded_at) as updated_at,
        bool_or(f.version = 1) as is_new,
        -- of Created alone
        max(f.data ->> 'type') filter (where f.version = 1) as type,
        max(f.data ->> 'priority') filter (where f.version = 1) as priority,
        min(f.recorded_at) filter (where f.version = 1) as created_at,
        -- of the newest event that sets it
        max((f.data ->> 'attempt')::int) filter (where f.type = 'Started') as attempts,
        (array_agg((f.data ->> 'used')::int order by f.version desc)
            filter (where f.type in ('Created', 'Queued', 'Attempted')))[1] as used,
        (array_agg((f.data ->> 'maxAttempts')::int order by f.version desc)
            filter (where f.type in ('Created', 'Queued')))[1] as max_attempts,
        (array_agg(f.data ->> 'worker' order by f.version desc) filter (where f.type = 'Started'))[1] as worker,
        bool_or(f.fails) as has_failed,
        (array_agg(f.data ->> 'outcome' order by f.version desc) filter (where f.fails))[1] as outcome,
        (array_agg(f.content order by f.version desc) filter (where f.fails))[1] as error,
        (array_agg(f.content) filter (where f.type = 'Completed'))[1] as result,
        -- of the newest event alone
        max(case
            when f.type = 'Attempted' then f.recorded_at + make_interval(secs => (f.data ->> 'retryAfter')::float8)
            when f.type = 'Created' and f.data ->> 'delay' is not null
                then f.recorded_at + make_interval(secs => (f.data ->> 'delay')::float8)
            when f.type = 'Created' then (f.data ->> 'runAt')::timestamptz
        end) filter (where f.newest) as due_at,
        max(f.position) filter (
            where f.newest and (f.type = 'Queued'
                or (f.type = 'Created' and f.data ->> 'delay' is null and f.data ->> 'runAt' is null))
        ) as queued_position
    from facts f
    group by f.job_id
),
changed as (
    update jobs j set
        version = f.version,
        state = f.state,
        updated_at = f.updated_at,
        attempts = coalesce(f.attempts, j.attempts),
        used = coalesce(f.used, j.used),
        max_attempts = coalesce(f.max_attempts, j.max_attempts),
        worker = case when f.state in ('Started', 'CancelRequested') then coalesce(f.worker, j.worker) end,
        outcome = case when f.state = 'Completed' then null when f.has_failed then f.outcome else j.outcome end,
        error = case when f.state = 'Completed' then null when f.has_failed then f.error else j.error end,
        result = coalesce(f.result, j.result),
        due_at = f.due_at,
        queued_position = f.queued_position
    from folded f
    where j.id = f.id and j.version < f.version
),
added as (
    insert into jobs (
        id, version, state, type, priority, attempts, used, max_attempts, created_at, updated_at,
        worker, outcome, error, result, due_at, queued_position
    )
    select f.id, f.version, f.state, f.type, f.priority, coalesce(f.attempts, 0), f.used, f.max_attempts,
           f.created_at, f.updated_at,
           case when f.state in ('Started', 'CancelRequested') then f.worker end,
           case when f.state <> 'Completed' then f.outcome end,
           case when f.state <> 'Completed' then f.error end,
           f.result, f.due_at, f.queued_position
    from folded f
    where f.is_new
    on conflict (id) do nothing
),
moved as (
    update checkpoints c set position = b.after
    from bounds b
    where c.name = 'jobs' and b.row_count = b.after - b.before and b.row_count > 0
)
select before, after, row_count, unknown_position from bounds
