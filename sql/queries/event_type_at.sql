-- The type of the event at one position.
select type from events where position = %(position)s
