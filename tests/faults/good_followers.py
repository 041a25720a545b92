"""What followers of a good run write down: two, of whom one wants all events from somewhere on, and are cut off at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from domain.events import RecordedEvent, type_name
from tests.faults.client_log import Followed, FollowedUp, Line, Seen, StreamOpened
from tests.properties.dice import Dice

_APIS = ("http://127.0.0.1:3000", "http://127.0.0.1:3001")
_TYPES = "Completed,Failed,Cancelled,Queued"


def followed(log: Sequence[RecordedEvent], dice: Dice) -> Iterator[Line]:
    """The lines of a log that was followed to its end, or till the load was killed."""
    yield from _follow("all", log, dice, begin=dice.pick((0, len(log) // 3)), types="")
    yield from _follow("some", log, dice, begin=0, types=_TYPES)


def _follow(name: str, log: Sequence[RecordedEvent], dice: Dice, *, begin: int, types: str) -> Iterator[Line]:
    yield StreamOpened(name, dice.pick(_APIS), 200, begin, types)
    position = begin
    while position < len(log):
        page = log[position : position + dice.pick((1, 2, 10, 100))]
        position += len(page)
        wanted = [_seen(event) for event in page if not types or type_name(event.event) in types.split(",")]
        if wanted:
            yield Followed(name, wanted)
        match dice.pick(("",) * 20 + ("cut off", "refused at first")):
            case "cut off":
                yield StreamOpened(name, dice.pick(_APIS), 200, position, types)
            case "refused at first":
                yield StreamOpened(name, dice.pick(_APIS), 503, position, types)
                yield StreamOpened(name, dice.pick(_APIS), 200, position, types)
    if dice.pick((True, True, False)):
        yield FollowedUp(name, len(log))


def _seen(event: RecordedEvent) -> Seen:
    return Seen(event.position, event.job_id, event.version, type_name(event.event))
