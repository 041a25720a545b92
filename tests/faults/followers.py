"""C7: who follows the log is shown exactly that: each event that is wanted, as it is, once and in order, over all streams."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tests.faults.client_log import Followed, FollowedUp, Line, Seen, StreamOpened
from tests.faults.stories import Story
from tests.faults.verdict import Figures, Findings


class _Follower(Struct):
    begin: int  # behind which position
    types: frozenset[str]  # none: all are wanted
    seen: dict[int, Seen]  # by position; taken away when it is found in the log
    newest: int  # position that was shown
    end: int  # up to which it was shown everything


class FollowersJudge:
    """Takes each story once, then says what is left over."""

    def __init__(self, lines: Iterable[Line], *, figures: Figures, findings: Findings) -> None:
        self._findings = findings
        self._followers: dict[str, _Follower] = {}
        for line in lines:
            match line:
                case StreamOpened():
                    figures.streams += line.status == 200
                    self._note_stream(line)
                case Followed():
                    figures.followed += len(line.events)
                    self._note_events(line.follower, self._followers[line.follower], line.events)
                case FollowedUp():
                    follower = self._followers[line.follower]
                    follower.end = max(follower.end, line.head)

    def judge(self, story: Story) -> None:
        """One job."""
        for name, follower in self._followers.items():
            for version, (position, event) in enumerate(story.events, start=1):
                if not follower.begin < position <= follower.end or (follower.types and event not in follower.types):
                    continue
                seen = follower.seen.pop(position, None)
                if seen is None:
                    self._find(name, f"was not shown position {position}, {event} of {story.job_id}")
                elif seen != Seen(position, story.job_id, version, event):
                    self._find(name, f"was shown {seen} where the log has {event} {version} of {story.job_id}")

    def finish(self) -> None:
        """What no story told of."""
        for name, follower in self._followers.items():
            for seen in follower.seen.values():
                self._find(name, f"was shown {seen}, which the log has not, or which was not wanted")

    def _note_stream(self, line: StreamOpened) -> None:
        if 400 <= line.status < 500:
            self._find(line.follower, f"was refused with {line.status} behind position {line.after}")
        elif line.status == 200 and line.follower not in self._followers:
            types = frozenset(line.types.split(",")) - {""}
            self._followers[line.follower] = _Follower(line.after, types, {}, line.after, line.after)

    def _note_events(self, name: str, follower: _Follower, events: Iterable[Seen]) -> None:
        for seen in events:
            if seen.position <= follower.newest:
                self._find(name, f"was shown position {seen.position} after position {follower.newest}")
                continue
            follower.seen[seen.position] = seen
            follower.newest = seen.position
        follower.end = max(follower.end, follower.newest)

    def _find(self, name: str, sentence: str) -> None:
        self._findings.add("C7", f"follower {name}", sentence)
