"""Bugs that the service could have, each with a story in which it does harm: a machine that does not notice them proves nothing.

A bug is a change to the real code, as a slip of the hand or a wrong idea would make it; some were there once. A story is a run of
the machine, by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.postgres import jobs_projection
from adapters.postgres.event_log import PostgresEventLog
from adapters.postgres.log_answers import Sending
from adapters.postgres.statements import load_statement
from adapters.redis.relay_queue import RedisRelayQueue
from commands import claim_jobs, close_lost, closings, wake_due, watch_workers
from commands.close_attempt import Ended, close_attempts
from commands.ports import Answer, Append, Conflict, QueueEntry
from commands.queue_ports import Mark, QueueState
from commands.running_attempts import RunningAttempts
from commands.watch_workers import WatchWorkers
from commands.worker import Worker
from domain.events import Cancelled, NewEvent
from domain.job import Job, lose
from projections.runner import FoldedPage
from tests.properties.simulation.faults import Fault
from tests.properties.simulation.service import ALL_TYPES
from tests.properties.simulation.system_machine import SystemMachine

Plant = Callable[[pytest.MonkeyPatch], None]
Story = Callable[[SystemMachine], None]

WORKER = 4  # its place among the processes: before it come two apis and two dispatchers


def _takes_an_earlier_claim_for_its_own(patch: pytest.MonkeyPatch) -> None:
    """In doubt, any event that is equal counts as one's own: also that of an earlier claim of the same entry."""
    patch.setattr(Sending, "owns", lambda sending, *_: sending.in_doubt)


def _never_knows_its_own_again(patch: pytest.MonkeyPatch) -> None:
    """In doubt, one's own event counts as another's: a Started that nobody runs."""
    patch.setattr(Sending, "owns", lambda *_: False)


def _moves_the_mark_before_the_entries(patch: pytest.MonkeyPatch) -> None:
    """The relay notes how far it is, and only then adds the entries."""
    relay = RedisRelayQueue.relay

    async def in_two_steps(
        queue: RedisRelayQueue, believed: QueueState, mark: Mark, entries: Sequence[QueueEntry]
    ) -> QueueState | None:
        found = await relay(queue, believed, mark, [])
        return await relay(queue, believed.after(mark, []), mark, entries) if entries and found is None else found

    patch.setattr(RedisRelayQueue, "relay", in_two_steps)


def _moves_the_checkpoint_before_the_rows(patch: pytest.MonkeyPatch) -> None:
    """The projector moves its checkpoint, and only then writes the rows."""
    fold = load_statement("fold_jobs").replace("{table}", "jobs")

    async def in_two_steps(cursor: Any, *, table: str, page: int) -> Any:
        await cursor.execute("select position from checkpoints where name = 'jobs'", {})
        [before] = await cursor.fetchone()
        await cursor.execute("select coalesce(max(position), 0) from events", {})
        [head] = await cursor.fetchone()
        after = min(head, before + page)
        await cursor.execute("update checkpoints set position = %(after)s where name = 'jobs'", {"after": after})
        rows_alone = fold.replace("from checkpoints c\n", f"from (select {before}::bigint as position) c\n")
        rows_alone = rows_alone.replace("where c.name = 'jobs'\n", "where true\n", 1)
        rows_alone = rows_alone.replace("and c.position = (select s.position", "and true or 0 = (select s.position")
        rows_alone = rows_alone.replace("for update skip locked", "")
        await cursor.execute(rows_alone, {"page": page, "known": jobs_projection._KNOWN})
        return FoldedPage(before, after, after - before, after - before >= page, None, None)

    patch.setattr(jobs_projection, "fold_page", in_two_steps)


def _appends_whatever_was_there(patch: pytest.MonkeyPatch) -> None:
    """A conflict is answered by the same append once more, where the job is by now."""
    append = PostgresEventLog.append

    async def unconditionally(log: PostgresEventLog, commands: Sequence[Append]) -> list[Answer]:
        answers = await append(log, commands)
        for place, answer in enumerate(answers):
            if isinstance(answer, Conflict):
                [answers[place]] = await append(log, [replace(commands[place], expected=answer.last_version)])
        return answers

    patch.setattr(PostgresEventLog, "append", unconditionally)


def _acknowledges_before_it_claims(patch: pytest.MonkeyPatch) -> None:
    """Entries leave the queue before their Started is durable."""
    claim = Worker._claim

    async def too_early(self: Worker, entries: Sequence[QueueEntry]) -> None:
        await self._acknowledge(self._queue, entries)
        await claim(self, entries)

    patch.setattr(Worker, "_claim", too_early)


def _forgets_to_retry_what_was_lost(patch: pytest.MonkeyPatch) -> None:
    """A job whose attempt was lost is never queued again."""
    step = wake_due.WakeDue.step

    async def but_the_lost(self: wake_due.WakeDue) -> float:
        due = self._waiting.due

        class _Others:
            async def due(self, *, limit: int) -> Any:
                found = await due(limit=limit)
                return replace(found, jobs=[job for job in found.jobs if job.outcome != "lost"])

        waiting, self._waiting = self._waiting, _Others()
        try:
            return await step(self)
        finally:
            self._waiting = waiting

    patch.setattr(wake_due.WakeDue, "step", but_the_lost)


def _gives_up_who_is_only_slow(patch: pytest.MonkeyPatch) -> None:
    """A worker is dead as soon as its counter was seen standing still twice."""
    init = WatchWorkers.__init__

    def hasty(self: WatchWorkers, **named: Any) -> None:
        init(self, **(named | {"liveness": 3.0}))

    patch.setattr(WatchWorkers, "__init__", hasty)


def _watches_across_a_pause(patch: pytest.MonkeyPatch) -> None:
    """A watcher that was stopped itself takes what it did not see for standing still."""
    patch.setattr(watch_workers, "LONGEST_GAP", float("inf"))


def _forgets_a_cancel_while_closing(patch: pytest.MonkeyPatch) -> None:
    """A closing that meets a CancelRequested takes its attempt for another's."""

    async def blindly(ended: Sequence[Ended], **named: Any) -> list[bool | Ended]:
        return [answer is True for answer in await close_attempts(ended, **named)]

    patch.setattr(closings, "close_attempts", blindly)


def _keeps_what_was_given_up(patch: pytest.MonkeyPatch) -> None:
    """A worker that begins anew goes on with what it ran under its former name."""
    patch.setattr(RunningAttempts, "abandon_all", lambda self: [])


def _shares_its_process_with_a_killer(patch: pytest.MonkeyPatch) -> None:
    """What follows a lost attempt runs among the others."""
    attempt = claim_jobs._attempt
    patch.setattr(claim_jobs, "_attempt", lambda *given: replace(attempt(*given), isolated=False))


def _cancels_what_was_lost_and_forgets_the_loss(patch: pytest.MonkeyPatch) -> None:
    """An attempt that was to be cancelled and was lost is closed as if its code had stopped."""

    def forgetfully(job: Job, **named: Any) -> list[NewEvent]:
        return [
            NewEvent(replace(new.event, outcome=None)) if isinstance(new.event, Cancelled) else new
            for new in lose(job, **named)
        ]

    patch.setattr(close_lost, "lose", forgetfully)


def _takes_its_own_claim_for_a_stray(patch: pytest.MonkeyPatch) -> None:
    """A job that the log says is run by a worker, while the answer to its claim is out, is closed by that worker as lost."""
    patch.setattr(Worker, "_claiming", property(lambda self: frozenset(), lambda self, job_ids: None), raising=False)


def _ends_while_its_last_claim_is_unanswered(patch: pytest.MonkeyPatch) -> None:
    """A worker that was told to stop says that all has ended, and takes its row away, as soon as nothing runs."""
    finish = Worker.finish

    async def hastily(self: Worker, *, grace: float) -> bool:
        await finish(self, grace=grace)
        return len(self.running) == 0

    patch.setattr(Worker, "finish", hastily)


def _with_a_job_queued(machine: SystemMachine) -> None:
    machine.begin_in_the_middle(workers=1, types=ALL_TYPES, jobs=1, seconds=0)
    for _ in range(2):
        machine.dispatch(0, "relay", is_done=True, fault=None)


def _with_a_job_running(machine: SystemMachine) -> None:
    machine.begin_in_the_middle(workers=1, types=ALL_TYPES, jobs=1, seconds=1)


def _with_an_unanswered_claim(machine: SystemMachine) -> None:
    _with_a_job_queued(machine)
    machine.go_on(0, 2, None)
    machine.perform(0, None, is_answered=False)


def _a_job_is_done_and_its_entry_comes_again(machine: SystemMachine) -> None:
    _with_a_job_running(machine)
    machine.end_an_attempt(0, "success")
    machine.all_go_on(1, None)
    machine.harm_redis("flush", "default")
    machine.all_go_on(2, Fault("log", "before"))


def _the_answer_to_a_claim_is_lost(machine: SystemMachine) -> None:
    _with_a_job_queued(machine)
    machine.all_go_on(1, Fault("log", "after"))
    machine.everybody_runs_what_is_his()


def _redis_hears_one_command_of_the_relay_and_no_second(machine: SystemMachine) -> None:
    machine.begin_in_the_middle(workers=1, types=ALL_TYPES, jobs=1, seconds=1)
    machine.create(0, 1, "A", "default", b"1", 2, None, is_done=True)
    machine.dispatch(0, "relay", is_done=True, fault=Fault("redis", "before", nth=2))


def _the_projector_is_cut_off_before_its_last_command(machine: SystemMachine) -> None:
    _with_a_job_queued(machine)
    machine.project(Fault("projection", "before", nth=4), 1)


def _an_old_entry_comes_again_while_its_job_is_queued_anew(machine: SystemMachine) -> None:
    machine.begin_in_the_middle(workers=1, types=ALL_TYPES, jobs=2, seconds=1)
    machine.end_an_attempt(0, "later")
    machine.go_on(0, 6, None)  # the attempt is closed, and another job keeps the other slot
    machine.project(None, 3)
    machine.dispatch(0, "wake", is_done=True, fault=None)
    machine.harm_redis("flush", "default")
    machine.all_go_on(1, None)


def _a_worker_dies_while_it_claims(machine: SystemMachine) -> None:
    _with_a_job_queued(machine)
    machine.go_on(0, 3, None)
    machine.kill(WORKER, None)


def _a_worker_dies_while_a_job_runs(machine: SystemMachine) -> None:
    _with_a_job_running(machine)
    machine.kill(WORKER, None)


def _a_worker_is_silent_for_a_while(machine: SystemMachine) -> None:
    _with_a_job_running(machine)
    machine.stop_or_continue(WORKER)
    machine.time_passes_and_somebody_watches(9, 0)
    machine.stop_or_continue(WORKER)


def _the_whole_machine_sleeps(machine: SystemMachine) -> None:
    _with_a_job_running(machine)
    machine.dispatch(0, "watch", is_done=True, fault=None)
    machine.all_sleep(20)
    machine.dispatch(0, "watch", is_done=True, fault=None)


def _a_worker_dies_while_it_is_to_cancel_a_job_that_is_retried(machine: SystemMachine) -> None:
    _with_a_job_running(machine)
    machine.ask(0, 0, "cancel")
    machine.go_on(0, 6, None)
    machine.kill(WORKER, None)
    machine.start_a_worker(ALL_TYPES)
    machine.project(None, 3)
    machine.time_passes_and_somebody_watches(24, 0)
    machine.ask(0, 0, "retry")
    machine.all_go_on(3, None)


def _a_job_is_cancelled_in_the_moment_that_it_ends(machine: SystemMachine) -> None:
    _with_a_job_running(machine)
    machine.ask(0, 0, "cancel")
    machine.go_on(0, 6, None)
    machine.end_an_attempt(0, "success")
    machine.go_on(0, 6, None)
    machine.everybody_runs_what_is_his()


def _a_worker_is_given_up_and_comes_back(machine: SystemMachine) -> None:
    _with_a_job_running(machine)
    machine.stop_or_continue(WORKER)
    machine.time_passes_and_somebody_watches(24, 0)
    machine.stop_or_continue(WORKER)
    machine.time_passes(0.1)
    machine.everybody_runs_what_is_his()


def _a_claim_is_long_unanswered(machine: SystemMachine) -> None:
    _with_an_unanswered_claim(machine)
    machine.project(None, 3)
    machine.time_passes(12.0)
    machine.all_go_on(1, None)
    machine.everybody_runs_what_is_his()


def _a_worker_is_told_to_stop_while_a_claim_is_unanswered(machine: SystemMachine) -> None:
    _with_an_unanswered_claim(machine)
    machine.project(None, 3)
    machine.terminate(0)
    machine.time_passes(12.0)  # the time to end what runs is over
    machine.time_passes(3.0)  # and the time for what was released


PLANTED: Sequence[tuple[Plant, Story]] = (
    (_takes_an_earlier_claim_for_its_own, _a_job_is_done_and_its_entry_comes_again),
    (_never_knows_its_own_again, _the_answer_to_a_claim_is_lost),
    (_moves_the_mark_before_the_entries, _redis_hears_one_command_of_the_relay_and_no_second),
    (_moves_the_checkpoint_before_the_rows, _the_projector_is_cut_off_before_its_last_command),
    (_appends_whatever_was_there, _an_old_entry_comes_again_while_its_job_is_queued_anew),
    (_acknowledges_before_it_claims, _a_worker_dies_while_it_claims),
    (_forgets_to_retry_what_was_lost, _a_worker_dies_while_a_job_runs),
    (_gives_up_who_is_only_slow, _a_worker_is_silent_for_a_while),
    (_watches_across_a_pause, _the_whole_machine_sleeps),
    (_forgets_a_cancel_while_closing, _a_job_is_cancelled_in_the_moment_that_it_ends),
    (_keeps_what_was_given_up, _a_worker_is_given_up_and_comes_back),
    (_takes_its_own_claim_for_a_stray, _a_claim_is_long_unanswered),
    (_ends_while_its_last_claim_is_unanswered, _a_worker_is_told_to_stop_while_a_claim_is_unanswered),
    (_shares_its_process_with_a_killer, _a_worker_dies_while_a_job_runs),
    (_shares_its_process_with_a_killer, _a_worker_dies_while_it_is_to_cancel_a_job_that_is_retried),
    (_cancels_what_was_lost_and_forgets_the_loss, _a_worker_dies_while_it_is_to_cancel_a_job_that_is_retried),
)
