-- A worker ends, after its last closing event.
delete from workers where id = %(worker)s
