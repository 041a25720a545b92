-- What the planner has to know of the new table from its first moment on.
analyze jobs_next
