-- Each worker's heartbeat counter.
select id, counter from workers
