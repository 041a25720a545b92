-- A page of the list of running jobs, newest first.
-- Safe because it goes by ids, as job_list.sql does. Of these there are never more than all workers together run, so all of them are
-- looked at, by the index that knows who runs what.
with running as materialized (
    select * from jobs where worker is not null
),
examined as not materialized (
    select * from running
    where id < %(before)s::uuid and id >= %(floor)s::uuid
    order by id desc
    limit %(examined)s
),
-- part: job_list_page
