-- Tells whoever keeps the queue that something was appended which may queue a job.
notify jobledger_queued
