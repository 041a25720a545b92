-- Asks to be told when something was appended that may queue a job.
listen jobledger_queued
