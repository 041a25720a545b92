-- How much write-ahead log each replication slot keeps. A replica knows no position that it writes at.
select slot_name::text, active, wal_status,
       coalesce(case when not pg_is_in_recovery() then pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) end, 0)::bigint
from pg_replication_slots
order by 1
