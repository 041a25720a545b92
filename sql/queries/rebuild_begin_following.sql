-- From here on the new table follows the log, by a checkpoint of its own.
insert into checkpoints (name, position) values ('jobs_next', %(position)s)
