-- For this transaction: what is found by several words of an index at once (jobs_tags) is found in no other way.
set local enable_bitmapscan = on
