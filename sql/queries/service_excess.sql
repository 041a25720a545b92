-- What the role that the service's processes log in as might do though it must not, a sentence each: it would be the owner, or become it.
select s.sentence
from pg_roles l
cross join (
    select c.relowner as owner, c.relnamespace as place, (select datdba from pg_database where datname = current_database()) as database_owner
    from pg_class c where c.oid = 'events'::regclass
) o
cross join lateral (
    select 'is a superuser' where l.rolsuper
    union all
    select 'may make and change roles (CREATEROLE)' where l.rolcreaterole and not l.rolsuper
    union all
    select format('is %%s, the owner of the tables, or may act as it', pg_get_userbyid(o.owner))
    where not l.rolsuper and pg_has_role(l.oid, o.owner, 'MEMBER')
    union all
    select format('is %%s, the owner of the database, or may act as it', pg_get_userbyid(o.database_owner))
    where not l.rolsuper and o.database_owner <> o.owner and pg_has_role(l.oid, o.database_owner, 'MEMBER')
    union all
    select format('may %%s the table %%s', p.privilege, r.relation::regclass)
    from (values ('events'), ('log'), ('transitions')) r (relation)
    cross join (values ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('TRIGGER')) p (privilege)
    where not l.rolsuper and not pg_has_role(l.oid, o.owner, 'MEMBER') and has_table_privilege(l.oid, r.relation, p.privilege)
    union all
    select format('may create objects in the schema %%1$I (revoke create on schema %%1$I from public, or from whom it has that)', n.nspname)
    from pg_namespace n
    where n.oid = o.place and not l.rolsuper and not pg_has_role(l.oid, o.owner, 'MEMBER')
      and not pg_has_role(l.oid, o.database_owner, 'MEMBER') and has_schema_privilege(l.oid, n.oid, 'CREATE')
) s (sentence)
where l.rolname = %(login)s
