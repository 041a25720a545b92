-- A page of the list of failed jobs, newest first.
-- Safe because it goes by ids, which never change: whoever begins again at the last job that he got (or that was examined in vain) misses
-- nothing and gets nothing twice. Flat in cost: it looks at no more jobs than it is told to, however few of them are wanted.
with examined as not materialized (
    select * from jobs
    where status = 'failed' and id < %(before)s::uuid and id >= %(floor)s::uuid
    order by id desc
    limit %(examined)s
),
-- part: job_list_page
