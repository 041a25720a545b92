-- What processes need and this user lacks.
select lower(needed.right) || ' on ' || needed.name
from (values
    ('SELECT', 'log'), ('SELECT', 'events'), ('SELECT', 'transitions'), ('SELECT', 'schema_migrations'),
    ('SELECT', 'jobs'), ('INSERT', 'jobs'), ('UPDATE', 'jobs'),
    ('SELECT', 'stats'), ('INSERT', 'stats'), ('UPDATE', 'stats'), ('DELETE', 'stats'),
    ('SELECT', 'checkpoints'), ('UPDATE', 'checkpoints'),
    ('SELECT', 'workers'), ('INSERT', 'workers'), ('UPDATE', 'workers'), ('DELETE', 'workers'),
    ('SELECT', 'progress'), ('INSERT', 'progress'), ('UPDATE', 'progress'), ('DELETE', 'progress'),
    ('SELECT', 'dispatcher_lease'), ('UPDATE', 'dispatcher_lease'),
    ('DELETE', 'idempotency_keys')
) as needed ("right", name)
where to_regclass(needed.name) is null or not has_table_privilege(to_regclass(needed.name), needed."right")
union all
select 'execute on append_events'
where not exists (
    select from pg_proc p
    where p.oid in (select oid from pg_proc where proname = 'append_events') and pg_function_is_visible(p.oid)
      and has_function_privilege(p.oid, 'EXECUTE')
)
