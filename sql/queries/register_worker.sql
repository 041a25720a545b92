-- A worker begins: its row lets it start attempts. It has not claimed any yet.
insert into workers (id, claims_from) values (%(worker)s, null) on conflict (id) do nothing
