-- The jobs of a page of the log that have an attempt there which ended without success.
select distinct job_id::text from events
where position between %(first)s and %(last)s and type in ('Attempted', 'Failed')
