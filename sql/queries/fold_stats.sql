-- Folds the next page of the log into `stats` and moves its checkpoint: one statement, so amounts and checkpoint stand or fall together,
-- and each event is added exactly once.
--
-- The checkpoint's row lock is the election, as in fold_jobs.sql. What came before the page is looked up in the log; `jobs` is not read.
--
-- Answers as fold_jobs.sql, but for a page with an event of an unknown type in it: of that nothing is folded, not even what comes before.
with checkpoint as materialized (
    select c.position from checkpoints c
    where c.name = 'stats'
      and c.position = (select s.position from checkpoints s where s.name = 'stats')
    for update skip locked
),
span as materialized (
    select c.position as after, c.position + %(page)s as upto from checkpoint c
),
touched as materialized (
    -- part: stats_touched
),
others as materialized (
    -- part: stats_others
),
found as materialized (
    select max(t.last_position) as last_position, coalesce(sum(t.events), 0) as row_count from touched t
),
bounds as materialized (
    select
        s.after as before,
        case when u.position is null then
            coalesce(
                f.last_position,
                -- nothing in the page's range: the log ends here, or has a gap as wide as the page
                (select n.position from events n where n.position > s.after order by n.position limit 1),
                s.after
            )
            else s.after
        end as after,
        case when u.position is null then f.row_count else 0 end as row_count,
        u.position as unknown_position
    from span s
    cross join found f
    cross join (
        select min(o.position) as position from others o where o.is_counted and o.type <> all (%(known)s::text[])
    ) u
),
added as (
    insert into stats (measure, type, priority, width, start, bucket, amount)
    select a.*
    from (
        -- part: stats_amounts
    ) a
    where (select b.row_count = b.after - b.before and b.row_count > 0 from bounds b)
    on conflict (measure, type, priority, width, start, bucket) do update set amount = stats.amount + excluded.amount
),
moved as (
    update checkpoints c set position = b.after
    from bounds b
    where c.name = 'stats' and b.row_count = b.after - b.before and b.row_count > 0
)
select before, after, row_count, unknown_position from bounds
