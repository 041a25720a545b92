-- How many events of known types `span` has, in the shape of an amount.
select 'events', null, null, 0, 0, 0,
       coalesce((select sum(t.events) from touched t), 0)
       - (select count(*) from others o where o.is_counted and o.type <> all (%(known)s::text[]))
