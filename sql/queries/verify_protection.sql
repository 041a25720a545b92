-- What keeps the log as it is: its triggers, the source of their function, its keys, who else may write, rules, and the table
-- `transitions`. Read from the catalogs; what a superuser did and undid meanwhile, only the digest can show.
select
    coalesce((
        select json_agg(json_build_object(
            'name', t.tgname, 'enabled', t.tgenabled, 'events', t.tgtype, 'function', p.proname,
            'unconditional', t.tgqual is null and cardinality(t.tgattr::int2[]) = 0))
        from pg_trigger t
        join pg_proc p on p.oid = t.tgfoid
        where t.tgrelid = 'events'::regclass and not t.tgisinternal
    ), '[]')::text,
    (select p.prosrc from pg_proc p where p.oid = to_regprocedure('events_are_immutable()')),
    coalesce((
        select json_agg(array(
            select a.attname from unnest(i.indkey::int2[]) with ordinality k (number, place)
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
            order by k.place))
        from pg_index i
        where i.indrelid = 'events'::regclass and i.indisunique and i.indisvalid and i.indisready and i.indimmediate
          and i.indpred is null and i.indexprs is null
    ), '[]')::text,
    coalesce((
        select json_agg(json_build_array(
            case when g.grantee = 0 then 'public' else pg_get_userbyid(g.grantee)::text end, g.privilege_type))
        from pg_class c
        cross join lateral (
            select * from aclexplode(c.relacl)
            union
            -- A privilege on one column is one, too; on `content` it lets a role erase, and the trigger allows no more.
            select x.* from pg_attribute a cross join aclexplode(a.attacl) x
            where a.attrelid = c.oid and not (a.attname = 'content' and x.privilege_type = 'UPDATE')
        ) g
        where c.oid = 'events'::regclass and g.grantee <> c.relowner
          and g.privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
    ), '[]')::text,
    array(select r.rulename::text from pg_rewrite r where r.ev_class = 'events'::regclass),
    coalesce((select json_agg(json_build_array(t.before, t.after)) from transitions t), '[]')::text
