-- The caller's own words for a job, to find it by. Said by its Created, and never changed.
--
-- Serves no older releases: their projector would make rows without the tags that the log has.

alter table jobs add column tags text[];
comment on column jobs.tags is 'What its creator called it by, in that order; null: nothing.';

-- For tags that few jobs have; what many have is found along the primary key, newest first. Jobs without tags cost it nothing.
create index jobs_tags on jobs using gin (tags) where tags is not null;
