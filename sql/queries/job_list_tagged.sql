-- A page of the list of jobs with a rare tag, newest first.
-- Safe because it goes by ids, as job_list.sql does. All jobs with the tag are looked at, so it is asked only where these are few.
with tagged as materialized (
    select * from jobs where tags @> array[%(tag)s]::text[]
),
examined as not materialized (
    select * from tagged
    where id < %(before)s::uuid and id >= %(floor)s::uuid
    order by id desc
    limit %(examined)s
),
-- part: job_list_page
