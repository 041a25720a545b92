-- Takes away what a rebuild has made so far.
do $$
begin
    delete from checkpoints where name = 'jobs_next';
    drop table if exists jobs_next;
end
$$
