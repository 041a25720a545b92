-- The indexes of `jobs`, each as the statement that makes its like on `jobs_next`, and the one (or null) that makes it the primary key. The
-- key comes first. Their names are put right when the table takes its place.
select
    format(
        'create %sindex %I on %I.jobs_next %s',
        case when i.indisunique then 'unique ' end,
        left(c.relname, 58) || '_next',
        n.nspname,
        -- what follows the names
        substr(
            pg_get_indexdef(i.indexrelid),
            1 + length(
                format('CREATE %sINDEX %I ON %I.jobs ', case when i.indisunique then 'UNIQUE ' end, c.relname, n.nspname)
            )
        )
    ),
    case when i.indisprimary then
        format('alter table %1$I.jobs_next add constraint %2$I primary key using index %2$I', n.nspname, left(c.relname, 58) || '_next')
    end
from pg_index i
join pg_class c on c.oid = i.indexrelid
join pg_class j on j.oid = i.indrelid
join pg_namespace n on n.oid = j.relnamespace
where i.indrelid = 'jobs'::regclass and i.indisvalid
order by i.indisprimary desc, c.relname
