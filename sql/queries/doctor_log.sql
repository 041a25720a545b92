-- Which log this is.
select id::text from log
