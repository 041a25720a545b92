-- Folds the next page of the log into `{table}` (jobs, or the table that a rebuild puts in its place) and moves the checkpoint of that
-- name: one statement, so rows and checkpoint stand or fall together.
--
-- The checkpoint's row lock is the election of the projector: whoever does not get it answers no row and has done nothing.
-- Every column comes from the newest event of the page that sets it, and only a row of a lower version is changed, so folding
-- a page again is harmless. domain.job.evolve is the reference; tests hold both folds against each other.
--
-- Answers: the position before, the position after, the rows of the page (fewer than the distance: the log has a gap, and
-- nothing was done), and the first position whose event type is unknown (the page ends before it).
with checkpoint as materialized (
    select c.position from checkpoints c
    where c.name = '{table}'
      -- FOR UPDATE gives the newest version of the row; if another projector has just moved it, this statement's snapshot is
      -- older than what that one wrote, and would miss its rows: then this one does nothing.
      and c.position = (select s.position from checkpoints s where s.name = '{table}')
    for update skip locked
),
ahead as materialized (
    select e.position, e.job_id, e.version, e.type, e.data, e.content, e.recorded_at
    from checkpoint c
    join events e on e.position > c.position and e.position <= c.position + %(page)s
),
bounds as materialized (
    select c.position as before,
           coalesce(
               max(a.position) filter (where u.position is null or a.position < u.position),
               -- nothing in the page's range: the log ends here, or has a gap as wide as the page
               case when u.position is null then
                   (select n.position from events n where n.position > c.position order by n.position limit 1)
               end,
               c.position
           ) as after,
           count(a.position) filter (where u.position is null or a.position < u.position) as row_count,
           u.position as unknown_position
    from checkpoint c
    left join ahead a on true
    left join lateral (
        select min(x.position) as position from ahead x where x.type <> all (%(known)s::text[])
    ) u on true
    group by c.position, u.position
),
page as (
    select a.* from ahead a join bounds b on a.position <= b.after and b.row_count = b.after - b.before
),
folded as materialized (
    -- part: folded_jobs
),
changed as (
    update {table} j set
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
    insert into {table} (
        id, version, state, type, priority, attempts, used, max_attempts,
        created_at, updated_at, worker, outcome, error, result, due_at, queued_position, tags
    )
    -- part: new_job_rows
    on conflict (id) do nothing
),
moved as (
    update checkpoints c set position = b.after
    from bounds b
    where c.name = '{table}' and b.row_count = b.after - b.before and b.row_count > 0
)
select before, after, row_count, unknown_position from bounds
