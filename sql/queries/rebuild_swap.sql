-- Puts `jobs_next` in the place of `jobs`, which becomes `jobs_old`; both checkpoints are held, and stand at one position. Names end up
-- as they were. To be done in one transaction; from the first line on nobody reads `jobs`, so it is short.
do $$
declare
    old oid := 'jobs'::regclass;
    next oid := 'jobs_next'::regclass;
    place name := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = 'jobs'::regclass);
    has_privileges boolean := exists (
        select from pg_class c where c.oid in ('jobs'::regclass, 'jobs_next'::regclass) and c.relacl is not null
    );
    changes text[];
    change text;
begin
    lock table jobs, jobs_next in access exclusive mode;
    if exists (
        select from
            (select * from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
             where a.attrelid = old and a.attnum > 0 and not a.attisdropped) o
        full join
            (select * from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
             where a.attrelid = next and a.attnum > 0 and not a.attisdropped) n
            on n.attname = o.attname
        where (o.atttypid, o.atttypmod, o.attnotnull, o.attgenerated, pg_get_expr(o.adbin, old))
            is distinct from (n.atttypid, n.atttypmod, n.attnotnull, n.attgenerated, pg_get_expr(n.adbin, next))
    ) then
        raise exception 'the columns of jobs were changed meanwhile' using errcode = 'object_not_in_prerequisite_state';
    end if;
    if exists (
        select from checkpoints n left join checkpoints o on o.name = 'jobs'
        where n.name = 'jobs_next' and n.position < least(o.position, (select max(position) from events))
    ) then
        raise exception 'jobs_next is behind jobs' using errcode = 'object_not_in_prerequisite_state';
    end if;

    -- All of it is put into words before anything is renamed: a view's text names the tables that it reads.
    changes := array(
        select s.change from (
            select 1, format('alter index %I.%I rename to %I', place, c.relname, left(c.relname, 59) || '_old')
            from pg_index i join pg_class c on c.oid = i.indexrelid
            where i.indrelid = old and i.indisvalid
            union all
            select 2, format('alter index %I.%I rename to %I', place, left(c.relname, 58) || '_next', c.relname)
            from pg_index i join pg_class c on c.oid = i.indexrelid
            where i.indrelid = old and i.indisvalid
            union all
            select 3, format('comment on index %I.%I is %L', place, c.relname, obj_description(c.oid, 'pg_class'))
            from pg_index i join pg_class c on c.oid = i.indexrelid
            where i.indrelid = old and i.indisvalid and obj_description(c.oid, 'pg_class') is not null
            union all
            -- Privileges: first none at all (there may be default ones), then the same.
            select distinct 4, format(
                'revoke all on %I.jobs from %s', place,
                case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end
            )
            from pg_class c cross join aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) g
            where c.oid = next and has_privileges
            union all
            select 5, format(
                'grant %s on %I.jobs to %s%s', g.privilege_type, place,
                case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
                case when g.is_grantable then ' with grant option' end
            )
            from pg_class c cross join aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) g
            where c.oid = old and has_privileges
            union all
            select 5, format(
                'grant %s (%I) on %I.jobs to %s%s', g.privilege_type, a.attname, place,
                case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
                case when g.is_grantable then ' with grant option' end
            )
            from pg_attribute a cross join aclexplode(a.attacl) g
            where a.attrelid = old and a.attnum > 0 and not a.attisdropped
            union all
            -- Who owns a view, and who may read it, is not touched by that.
            select 6, format(
                'create or replace view %I.%I%s as %s', n.nspname, v.relname,
                ' with (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid)
            )
            from pg_class v join pg_namespace n on n.oid = v.relnamespace
            where v.relkind = 'v' and exists (
                select from pg_rewrite r
                join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
                where r.ev_class = v.oid and d.refclassid = 'pg_class'::regclass and d.refobjid = old
            )
        ) s (turn, change)
        order by s.turn
    );

    execute format('drop table if exists %I.jobs_old', place);
    execute format('alter table %I.jobs rename to jobs_old', place);
    execute format('alter table %I.jobs_next rename to jobs', place);
    foreach change in array changes loop
        execute change;
    end loop;
    insert into checkpoints (name, position)
    select 'jobs', n.position from checkpoints n where n.name = 'jobs_next'
    on conflict (name) do update set position = excluded.position;
    delete from checkpoints where name = 'jobs_next';
end
$$
