-- Lets `stats` hold these amounts and no others, counted up to a position; to be run while its checkpoint is held. A row that stays is
-- changed and not inserted again, since one statement cannot delete a key and insert it.
with wanted as materialized (
    select *
    from unnest(
        %(measure)s::text[], %(type)s::text[], %(priority)s::text[], %(width)s::int[], %(start)s::bigint[], %(bucket)s::int[],
        %(amount)s::bigint[]
    ) as w (measure, type, priority, width, start, bucket, amount)
),
emptied as (
    delete from stats s
    where not exists (
        select from wanted w
        where (w.measure, w.type, w.priority, w.width, w.start, w.bucket)
            = (s.measure, s.type, s.priority, s.width, s.start, s.bucket)
    )
),
filled as (
    insert into stats (measure, type, priority, width, start, bucket, amount)
    select * from wanted
    on conflict (measure, type, priority, width, start, bucket) do update set amount = excluded.amount
)
insert into checkpoints (name, position) values ('stats', %(position)s)
on conflict (name) do update set position = excluded.position
