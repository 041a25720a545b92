"""One call of a job type's code for many attempts, and what became of each."""

from __future__ import annotations

from asyncio import CancelledError, current_task
from collections.abc import Sequence
from typing import Any

from adapters.job_types import outcomes
from adapters.job_types.code import Code
from commands.attempt import AttemptContext, Outcome


class _Call:
    """What the code is given, and where its answers belong. `outcomes`: of each attempt; those are there whose payload did
    not fit, the others come by `returned` or `raised`."""

    def __init__(self, code: Code, payloads: Sequence[bytes], contexts: Sequence[AttemptContext]) -> None:
        self._name = code.name
        self.payloads: list[Any] = []
        self.contexts: list[AttemptContext] = []
        self._places: list[int] = []
        self._outcomes: list[Outcome | None] = [None] * len(payloads)
        for place, (payload, context) in enumerate(zip(payloads, contexts, strict=True)):
            try:
                decoded = code.decode(payload)
            except BaseException as exc:  # noqa: BLE001 - a payload type may run code of its own (__post_init__)
                self._outcomes[place] = outcomes.of_unfit_payload(exc, job_type=code.name)
            else:
                self.payloads.append(decoded)
                self.contexts.append(context)
                self._places.append(place)

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for outcome in self._outcomes if outcome is not None]

    def returned(self, values: Any, *, max_bytes: int) -> list[Outcome]:
        """The code ended with `values`, which should be one for each job."""
        if not isinstance(values, list | tuple) or len(values) != len(self._places):
            found = f"{len(values)} answers" if isinstance(values, list | tuple) else f"a {type(values).__name__}"
            wrong = outcomes.of_unkept(f"{self._name} returned {found} for {len(self._places)} jobs")
            for place in self._places:
                self._outcomes[place] = wrong
            return self.outcomes
        for place, context, value in zip(self._places, self.contexts, values, strict=True):
            is_error = isinstance(value, BaseException)
            self._outcomes[place] = (
                outcomes.of_error(value, context) if is_error else outcomes.of_result(value, max_bytes=max_bytes)
            )
        return self.outcomes

    def raised(self, exc: BaseException) -> list[Outcome]:
        """The code ended by an exception: every job's own."""
        for place, context in zip(self._places, self.contexts, strict=True):
            self._outcomes[place] = outcomes.of_error(exc, context)
        return self.outcomes


def run_batch_plain(
    code: Code, payloads: Sequence[bytes], contexts: Sequence[AttemptContext], *, result_max_bytes: int
) -> list[Outcome]:
    """Run a plain function on all of them, here and now, in whatever thread this is."""
    call = _Call(code, payloads, contexts)
    if not call.payloads:
        return call.outcomes
    try:
        values = code.run(call.payloads, call.contexts)
    except BaseException as exc:  # noqa: BLE001 - sys.exit() in a handler ends its attempts, not its worker
        return call.raised(exc)
    return call.returned(values, max_bytes=result_max_bytes)


async def run_batch_async(
    code: Code, payloads: Sequence[bytes], contexts: Sequence[AttemptContext], *, result_max_bytes: int
) -> list[Outcome]:
    """Run an async function on all of them, in this task.

    Raises CancelledError if the task was cancelled and not every attempt was told to stop.
    """
    call = _Call(code, payloads, contexts)
    if not call.payloads:
        return call.outcomes
    try:
        values = await code.run(call.payloads, call.contexts)
    except CancelledError as exc:
        task = current_task()
        if not all(context.should_stop for context in contexts) and task is not None and task.cancelling():
            raise
        return call.raised(exc)
    except BaseException as exc:  # noqa: BLE001 - as above
        return call.raised(exc)
    return call.returned(values, max_bytes=result_max_bytes)
