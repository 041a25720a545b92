-- Which dispatcher leads, if one does now, and how it sees Redis.
select case when expires_at > clock_timestamp() then holder end, redis_state from dispatcher_lease
