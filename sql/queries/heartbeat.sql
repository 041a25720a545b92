-- One heartbeat: raises the worker's counter (no row: it was given up), keeps where it claims jobs, and tells it what concerns the attempts that it runs:
-- which have a further event, and which jobs have been shown as run by it for over 10 seconds though it does not run them.
with beat as (
    update workers set counter = counter + 1, claims_from = %(claims_from)s where id = %(worker)s returning id
),
running as (
    select * from unnest(%(job_ids)s::uuid[], %(versions)s::int[]) as r (job_id, version)
),
further as (
    select e.job_id, e.type from running r join events e on e.job_id = r.job_id and e.version = r.version + 1
)
select
    exists (select from beat),
    array(select f.job_id::text from further f where f.type = 'CancelRequested'),
    array(select f.job_id::text from further f where f.type <> 'CancelRequested'),
    array(
        select j.id::text from jobs j
        where j.worker = %(worker)s
          and j.updated_at < clock_timestamp() - interval '10 seconds'
          and not exists (select from running r where r.job_id = j.id)
    )
