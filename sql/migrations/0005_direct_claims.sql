-- What workers need to claim from `jobs` while Redis is away, and to say that they do.
--
-- Serves releases from 0003 on.

-- The few that go first, however many others are queued. The others are found by jobs_queued.
create index jobs_queued_high on jobs (queued_position) where queued_position is not null and priority = 'high';

-- By default what a worker of an older release does, which does not say it.
alter table workers add column claims_from text default 'streams' check (claims_from in ('streams', 'jobs'));
comment on column workers.claims_from is 'Where its last try to claim went well; null: nowhere.';
