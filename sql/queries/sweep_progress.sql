-- What attempts have left that do not run any more, as those of a dead worker. Not sooner than hours after it was said: `jobs`, which
-- is asked whether they run, may be behind the log.
delete from progress p
where p.reported_at < statement_timestamp() - make_interval(secs => 3600.0 * %(hours)s)
  and not exists (
      select from jobs j where j.id = p.job_id and j.attempts = p.attempt and j.state in ('Started', 'CancelRequested')
  )
