-- What lists of jobs by status take, beside the primary key: newest first, however many other jobs there are.
--
-- Serves releases from 0003 on.

-- Partial, as an entry costs at each change of a row: a job that is completed at its first attempt has one, while it is pending.
-- Lists of running jobs are found by jobs_running; completed jobs are most of the table, and are found by walking through it.
create index jobs_pending on jobs (id) where status = 'pending';
create index jobs_unsuccessful on jobs (status, id) where status in ('failed', 'cancelled');
