"""The names of everything that Jobledger keeps in Redis, in one place. The streams are named in commands.queue_ports."""

from __future__ import annotations

GROUP = "workers"  # the one consumer group of each stream
RELAY = (
    "jobledger:relay"  # hash: log id; position, job id, version and time of the last event relayed; last id of
    # each stream; when the queue was made
)
# hash: "<job id>/<version>" -> "<stream> <entry id>", for entries that are not under their own id in their own stream
MOVED = "jobledger:moved"
PARKED_STREAMS = "jobledger:parked"  # set: the streams of parked entries that were ever made


def moved_field(job_id: str, version: int) -> str:
    """The field of the hash MOVED for an entry."""
    return f"{job_id}/{version}"
