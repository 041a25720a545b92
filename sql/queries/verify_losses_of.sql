-- The jobs of a page of the log that have an attempt there which ended without success, or were cancelled there.
select distinct job_id::text from events
where position between %(first)s and %(last)s and type in ('Attempted', 'Failed', 'Cancelled')
