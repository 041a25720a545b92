-- The new table is full: autovacuum looks after it as it does after `jobs`.
do $$
declare
    change text;
begin
    alter table jobs_next reset (autovacuum_enabled, toast.autovacuum_enabled);
    for change in
        select o from pg_class c, unnest(c.reloptions) o where c.oid = 'jobs'::regclass and o like 'autovacuum_enabled=%'
        union all
        select 'toast.' || o from pg_class c join pg_class t on t.oid = c.reltoastrelid, unnest(t.reloptions) o
        where c.oid = 'jobs'::regclass and o like 'autovacuum_enabled=%'
    loop
        execute format('alter table jobs_next set (%s)', change);
    end loop;
end
$$
