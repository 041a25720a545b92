-- A worker is given up, unless it has shown a sign of life meanwhile.
delete from workers where id = %(worker)s and counter = %(counter)s
