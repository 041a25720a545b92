-- The same where one of the events may queue a job: it wakes whoever keeps the queue as well.
select log.*, case when log.outcome = 'appended' then pg_notify('jobledger_queued', '') end,
       case when log.outcome = 'appended' then pg_notify('jobledger_appended', '') end
from append_events(%s, %s, %s, %s, %s, %s, %s, %s, %s) as log
