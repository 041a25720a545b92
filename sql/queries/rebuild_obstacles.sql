-- What hangs on `jobs` that a new table in its place could not take over, one line each. Taken over are: columns with their defaults,
-- checks and comments, storage options, indexes, the primary key, owner, privileges, and views.
select pg_describe_object(d.classid, d.objid, d.objsubid)
from pg_class j
join pg_depend d
    on (d.refclassid = 'pg_class'::regclass and d.refobjid = j.oid)
    or (d.refclassid = 'pg_type'::regclass and d.refobjid = j.reltype)
where j.oid = 'jobs'::regclass
  and not case d.classid
      when 'pg_class'::regclass then
          d.refclassid = 'pg_class'::regclass and (select c.relkind in ('i', 't') from pg_class c where c.oid = d.objid)
      when 'pg_attrdef'::regclass then true
      when 'pg_constraint'::regclass then
          (select k.conrelid = j.oid and k.contype in ('p', 'c', 'n') from pg_constraint k where k.oid = d.objid)
      when 'pg_type'::regclass then d.deptype = 'i'  -- its row, and an array of its rows
      when 'pg_rewrite'::regclass then (
          select r.rulename = '_RETURN' and v.relkind = 'v'
          from pg_rewrite r join pg_class v on v.oid = r.ev_class where r.oid = d.objid
      )
      else false
  end
union
select 'row level security' from pg_class j where j.oid = 'jobs'::regclass and j.relrowsecurity
union
select 'a replica identity by an index' from pg_class j where j.oid = 'jobs'::regclass and j.relreplident = 'i'
order by 1
