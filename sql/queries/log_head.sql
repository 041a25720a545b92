-- The newest position of the log; 0 while it is empty.
select coalesce((select position from events order by position desc limit 1), 0)
