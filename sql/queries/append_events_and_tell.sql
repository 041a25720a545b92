-- append_events, which wakes at its commit whoever keeps a table. The lock that a NOTIFY takes at commit is held no longer than that of
-- the log.
select log.*, case when log.outcome = 'appended' then pg_notify('jobledger_appended', '') end
from append_events(%s, %s, %s, %s, %s, %s, %s, %s, %s) as log
