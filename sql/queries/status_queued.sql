-- What is queued, by priority, as `jobs` has it; no more than so many of each are counted.
select 'high', count(*) from (
    select from jobs where queued_position is not null and priority = 'high' limit %(most)s
) high
union all
select 'default', count(*) from (
    select from jobs where queued_position is not null and priority <> 'high' limit %(most)s
) others
