-- The payload of one job: the content of its Created.
select content::text from events where job_id = %(job_id)s::uuid and version = 1
