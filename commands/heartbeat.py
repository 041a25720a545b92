"""The heartbeat of a worker: a thread of its own, so that a handler that blocks the event loop is not taken for dead."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from commands.liveness import HeartbeatAnswer, RunningAttempt, WorkerRegistry
from commands.outages import Outages
from commands.ports import Unavailable
from commands.queue_ports import Source

BEAT_EVERY = 1.0  # seconds
_BEAT = "show that the worker lives"  # what outages know this by


class Heartbeat:
    """Registers a worker and raises its counter once a second, from `start` to `stop`.

    All callables are called from the heartbeat's thread: `running` gives what runs, `claims_from` where the worker claims jobs
    (None: nowhere), `hear` gets each answer, `renewed` the new name after the worker was given up, `silent_for` gives the
    seconds since the event loop was last seen alive, `patience` how long it may be silent; `end_process` is called when it was
    silent for longer. `new_name` makes a worker's name.
    """

    def __init__(
        self,
        *,
        registry: WorkerRegistry,
        name: str,
        new_name: Callable[[], str],
        running: Callable[[], Sequence[RunningAttempt]],
        claims_from: Callable[[], Source | None],
        hear: Callable[[HeartbeatAnswer], None],
        renewed: Callable[[str], None],
        silent_for: Callable[[], float],
        patience: Callable[[], float],
        end_process: Callable[[float], None],
        outages: Outages,
    ) -> None:
        self._registry = registry
        self._name = name
        self._new_name = new_name
        self._running = running
        self._claims_from = claims_from
        self._hear = hear
        self._renewed = renewed
        self._silent_for = silent_for
        self._patience = patience
        self._end_process = end_process
        self._outages = outages
        self._stop = threading.Event()
        self._leave_row = False
        self._registered = threading.Event()
        self.beats = 0
        self.failures = 0  # beats that did not reach the database
        self.beat_at: float | None = None  # when one did last, of this machine's clock
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; returns at once. See `wait_until_registered`."""
        self._thread.start()

    def wait_until_registered(self, timeout: float) -> bool:
        """Whether the worker has its row, after at most `timeout` seconds. Blocks."""
        return self._registered.wait(timeout)

    def stop(self, *, leave_row: bool = False) -> None:
        """End the thread and delete the worker's row: after the last closing event, not before. Blocks for a moment.

        `leave_row`: attempts stay open. Then the row stands still, and the worker is given up like one that died: nobody
        closes an attempt whose code may not have ended yet.
        """
        self._leave_row = leave_row
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10.0)

    def _beat_on(self) -> None:
        due = time.monotonic()
        is_silent = False
        while not self._stop.is_set():
            was_silent, is_silent = is_silent, self._silent_for() > self._patience()
            # Seen twice, a beat apart: a process that was stopped and continued has an old clock at its first look only.
            if was_silent and is_silent:
                self._end_process(self._silent_for())
            # The watcher counts only what it could watch: an outage of the database makes nobody dead.
            pause = BEAT_EVERY
            try:
                self._beat()
            except Unavailable as exc:
                self.failures += 1
                self._outages.failed(exc, doing=_BEAT)
                pause *= random.uniform(0.5, 1.5)  # not in step with other workers
            else:
                self.beats += 1
                self.beat_at = time.time()
                self._outages.succeeded(doing=_BEAT)
            # From beat to beat, not from answer to beat; after an outage no beats are made up for.
            due = max(due + pause, time.monotonic())
            self._stop.wait(due - time.monotonic())
        # A row that cannot be deleted stands still, and is given up in a while; nothing runs under it any more.
        if not self._leave_row:
            with suppress(Unavailable):
                self._registry.deregister(self._name)
        self._registry.close()

    def _beat(self) -> None:
        if not self._registered.is_set():
            self._registry.register(self._name)
            self._registered.set()
            return
        answer = self._registry.beat(self._name, self._running(), claims_from=self._claims_from())
        if answer.alive:
            self._hear(answer)
            return
        self._name = self._new_name()
        self._registry.register(self._name)
        self._renewed(self._name)
