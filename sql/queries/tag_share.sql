-- About how many jobs have a tag, as the table's statistics know it: null for a tag that is not among the frequent ones, or not yet.
select f.share * greatest(c.reltuples, 0)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = 'tags'
cross join lateral unnest(s.most_common_elems::text::text[], s.most_common_elem_freqs) f (tag, share)
where c.oid = 'jobs'::regclass and f.tag = %(tag)s
