-- Sends autovacuum away from both tables, and keeps it away: readers and writers go on meanwhile. (Whoever waits for it for longer than
-- deadlock_timeout, 1 s, makes it give up; a short wait for the lock that the swap needs would never do that.)
lock table jobs, jobs_next in share update exclusive mode
