"""The event log in memory: EventLog and JobReader in one, by the rules of sql/migrations/0002_append_events.sql."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from commands.ports import Answer, Append, Appended, Conflict, PastJob, Refused, RejectedData, Repeated, Unavailable
from domain.events import RecordedEvent, encode_data, type_name
from domain.job import TRANSITIONS, Job, fold
from domain.moment import BeforeCreation, BeyondHead, Moment

_BEGINNING = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)


class FakeEventLog:
    """Implements commands.ports.EventLog and JobReader.

    Its clock is a millisecond per batch. `workers`: the ids of those registered. `away`: raise Unavailable from every call.
    """

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self.workers: set[str] = set()
        self.away = False
        self._streams: dict[str, list[RecordedEvent]] = {}
        self._keys: dict[tuple[str, str], Repeated] = {}
        self._key_times: dict[tuple[str, str], datetime] = {}
        self.now = _BEGINNING

    async def append(self, commands: Sequence[Append]) -> list[Answer]:
        """See EventLog.append."""
        self._require_presence()
        self.now += timedelta(milliseconds=1)
        # As in SQL, all are judged against the log as it was, and against the commands before them in the batch; what stands
        # behind another command on its job is heard after it.
        jobs = [command.job_id for command in commands]
        late = [number for number, job_id in enumerate(jobs) if job_id in jobs[:number]]
        if late:
            first = [number for number in range(len(commands)) if number not in late]
            answered = dict(zip(first, await self.append([commands[number] for number in first]), strict=True))
            answered |= dict(zip(late, await self.append([commands[number] for number in late]), strict=True))
            return [answered[number] for number in range(len(commands))]
        seen_keys: dict[tuple[str, str], Repeated] = {}
        answers: list[Answer] = []
        accepted: list[tuple[int, Append]] = []
        for number, command in enumerate(commands):
            answer = self._judge(command, seen_keys=seen_keys)
            if command.key is not None:
                seen_keys.setdefault((command.actor, command.key.key), Repeated(command.job_id, command.key.digest))
            if answer is None:
                accepted.append((number, command))
                answers.append(Refused())  # replaced below
            else:
                answers.append(answer)
        for number, command in accepted:
            answers[number] = self._write(command)
        return answers

    async def find(self, job_id: str) -> Job | None:
        """See JobReader.find."""
        return fold(await self.history(job_id))

    async def payload(self, job_id: str) -> bytes | None:
        """See JobReader.payload."""
        events = await self.history(job_id)
        return events[0].content if events else None

    async def history(self, job_id: str) -> list[RecordedEvent]:
        """See JobReader.history."""
        self._require_presence()
        return list(self._streams.get(job_id, ()))

    async def as_of(self, job_id: str, moment: Moment, *, with_payload: bool = False) -> PastJob | None:
        """See JobReader.as_of."""
        events = await self.history(job_id)
        if not events:
            return None
        if isinstance(moment, int):
            is_beyond, then = moment > len(self.events), [e for e in events if e.position <= moment]
        else:
            is_beyond, then = moment > self.now, [e for e in events if e.recorded_at <= moment]
        if is_beyond:
            raise BeyondHead(moment, position=len(self.events), now=self.now)
        job = fold(then)
        if job is None:
            first = events[0]
            raise BeforeCreation(job_id, moment, position=first.position, created_at=first.recorded_at)
        return PastJob(job, then[0].content if with_payload else None)

    def forget_keys(self, *, before: datetime) -> int:
        """Forget the idempotency keys that were used before that time; how many there were."""
        old = [key for key, at in self._key_times.items() if at < before]
        for key in old:
            del self._keys[key], self._key_times[key]
        return len(old)

    def _judge(self, command: Append, *, seen_keys: dict[tuple[str, str], Repeated]) -> Answer | None:
        """Why the command is not appended; None: it is."""
        for new in command.events:
            text = encode_data(new.event) + (new.content or b"")
            if b"\x00" in text:  # PostgreSQL's text cannot hold it
                return RejectedData("a NUL byte")
        stream = self._streams.get(command.job_id, [])
        if command.key is not None:
            key = (command.actor, command.key.key)
            used = self._keys.get(key)
            if used is not None:
                return used
            before = seen_keys.get(key)
            if before is not None and before.job_id != command.job_id:
                return before
        types = [type_name(new.event) for new in command.events]
        state = type_name(stream[-1].event) if stream else ""
        steps = zip([state, *types], types, strict=False)
        if command.expected != len(stream) or not all(step in TRANSITIONS for step in steps):
            found = stream[command.expected] if command.expected < len(stream) else None
            return Conflict(type_name(found.event) if found else None, len(stream), state or None)
        if "Started" in types and command.actor not in self.workers:
            return Refused()
        return None

    def _write(self, command: Append) -> Appended:
        stream = self._streams.setdefault(command.job_id, [])
        history: tuple[RecordedEvent, ...] = ()
        if type_name(command.events[0].event) == "Started":
            history = tuple(dict.fromkeys((stream[0], stream[-1])))
        position = len(self.events) + 1
        for new in command.events:
            recorded = RecordedEvent(
                position=len(self.events) + 1,
                job_id=command.job_id,
                version=len(stream) + 1,
                event=new.event,
                content=new.content,
                actor=command.actor,
                recorded_at=self.now,
            )
            stream.append(recorded)
            self.events.append(recorded)
        if command.key is not None:
            self._keys[command.actor, command.key.key] = Repeated(command.job_id, command.key.digest)
            self._key_times[command.actor, command.key.key] = self.now
        return Appended(position, self.now, history)

    def _require_presence(self) -> None:
        if self.away:
            raise Unavailable("the log is away", dependency="PostgreSQL")
