-- A worker begins: its row lets it start attempts.
insert into workers (id) values (%(worker)s) on conflict (id) do nothing
