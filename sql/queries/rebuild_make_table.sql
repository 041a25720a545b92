-- Makes the empty table `jobs_next`, like `jobs` in all but indexes and privileges; what an earlier rebuild left behind goes first.
-- Nobody but its owner may read it before it takes its place. Autovacuum stays away while it is filled.
do $$
declare
    old pg_class;
    place name;
    options text[];
    change text;
begin
    select c.* into strict old from pg_class c where c.oid = 'jobs'::regclass;
    select n.nspname into strict place from pg_namespace n where n.oid = old.relnamespace;
    execute format('drop table if exists %I.jobs_next', place);
    delete from checkpoints where name = 'jobs_next';
    execute format(
        'create table %1$I.jobs_next (like %1$I.jobs including all excluding indexes excluding statistics)%2$s',
        place,
        (select format(' tablespace %I', s.spcname) from pg_tablespace s where s.oid = old.reltablespace)
    );
    options := old.reloptions
        || (select array_agg('toast.' || o) from pg_class t, unnest(t.reloptions) o where t.oid = old.reltoastrelid);
    if options is not null then
        execute format('alter table %I.jobs_next set (%s)', place, array_to_string(options, ', '));
    end if;
    execute format('alter table %I.jobs_next set (autovacuum_enabled = false, toast.autovacuum_enabled = false)', place);
    execute format('comment on table %I.jobs_next is %L', place, obj_description(old.oid, 'pg_class'));
    for change in
        -- PostgreSQL 18 names constraints that say `not null`, too
        select format('rename constraint %I to %I', n.conname, o.conname)
        from pg_constraint o
        join pg_constraint n
            on n.conrelid = to_regclass(format('%I.jobs_next', place)) and n.contype = o.contype and n.conname <> o.conname
            and pg_get_constraintdef(n.oid) = pg_get_constraintdef(o.oid)
        where o.conrelid = old.oid and o.contype in ('c', 'n')
        union all
        select format('alter column %I set statistics %s', a.attname, a.attstattarget)
        from pg_attribute a
        where a.attrelid = old.oid and a.attnum > 0 and not a.attisdropped and a.attstattarget >= 0
        union all
        select 'replica identity ' || case old.relreplident when 'f' then 'full' else 'nothing' end
        where old.relreplident in ('f', 'n')
        union all
        select format('owner to %I', pg_get_userbyid(old.relowner))
        where pg_get_userbyid(old.relowner) <> current_user
    loop
        execute format('alter table %I.jobs_next %s', place, change);
    end loop;
end
$$
