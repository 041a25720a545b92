-- The first event, up to a position, of a type that is not known.
select position, type from events where position <= %(upto)s and type <> all (%(known)s::text[]) order by position limit 1
