-- Which rows of `jobs`, in a range of ids, are not those of `jobs_next`? To be asked in a snapshot in which both stand at one position.
-- *<> compares rows byte for byte. Answers one row: how many differ, how many of these are missing in `jobs`, how many are in it
-- alone; how often each column is meant; and the first few differences.
with differing as materialized (
    select
        coalesce(w.id, f.id)::text as job_id,
        coalesce(w.version, f.version) as version,
        -- part: row_differences
    from (
        select * from jobs_next
        where (%(after)s::uuid is null or id > %(after)s::uuid) and id <= %(last)s::uuid
    ) w
    full join (
        select * from jobs
        where (%(after)s::uuid is null or id > %(after)s::uuid) and id <= %(last)s::uuid
    ) f on f.id = w.id
    where w.id is null or f.id is null or f *<> w
)
select
    count(*),
    count(*) filter (where not is_in_table),
    count(*) filter (where not is_in_log),
    coalesce(
        (
            select json_object_agg(c.name, c.times)
            from (
                select u.name, count(*) as times
                from differing d, unnest(d.columns) u (name)
                where d.is_in_log and d.is_in_table
                group by u.name
            ) c
        ),
        '{}'
    )::text,
    coalesce(
        (
            select json_agg(
                json_build_object(
                    'job_id', d.job_id, 'version', d.version, 'position', null, 'columns', d.columns,
                    'is_in_log', d.is_in_log, 'is_in_table', d.is_in_table,
                    'in_log', d.in_log::json, 'in_table', d.in_table::json
                )
                order by d.job_id
            )
            from (select * from differing order by job_id limit %(shown)s) d
        ),
        '[]'
    )::text
from differing
