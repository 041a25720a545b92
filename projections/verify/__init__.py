"""Verify a whole log, read-only: what must hold of every log, and how a violation reads. What must not come in: a database.

`checks` names what is checked, in order; `log`, `protection`, `jobs`, `read_table` and `drained` hold one group of checks each;
`verification` takes them over the log; `ports` is what they ask of the database and of the queue.
"""
