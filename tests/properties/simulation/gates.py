"""A simulated process, and the gates at which its calls to the outside wait.

A process is real code over ports; each call that it makes of a port becomes a `Call`. Somebody outside performs the call (or not)
and lets the process have the answer (or not), so a process can be interrupted, overtaken or killed between any two of its steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from commands.ports import Unavailable
from tests.properties.simulation.stepped_loop import Clock, SteppedLoop


class Call:
    """One call of a port. `is_performed`: the outside has done it, and the answer is on its way."""

    def __init__(
        self, port: str, method: str, arguments: tuple[Any, ...], perform: Callable[[], Awaitable[Any]]
    ) -> None:
        self.port = port
        self.method = method
        self.arguments = arguments
        self.perform = perform
        self.is_performed = False
        self.answer: Any = None
        self.error: Exception | None = None
        self.waiting: asyncio.Future[Any] | None = None

    def __repr__(self) -> str:
        return f"{self.port}.{self.method}" + ("!" if self.is_performed else "")


class _Gate:
    def __init__(self, process: Process, port: str, real: object) -> None:
        self._process = process
        self._port = port
        self._real = real

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        real = getattr(self._real, method)

        async def call(*arguments: Any, **named: Any) -> Any:
            made = Call(self._port, method, arguments, lambda: real(*arguments, **named))
            return await self._process.wait_for(made)

        return call


class Process:
    """Something that runs until it is killed. `is_stopped`: frozen (SIGSTOP), neither acting nor hearing."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.calls: list[Call] = []  # in the order in which they were made
        self.is_dead = False
        self.is_stopped = False
        self._tasks: list[asyncio.Task[Any]] = []
        self.loop = SteppedLoop(clock)
        self.loop.set_task_factory(self._make_task)

    def gate(self, port: str, real: object) -> Any:
        """The port `real`, each call of which waits in `calls`."""
        return _Gate(self, port, real)

    async def wait_for(self, call: Call) -> Any:
        """What the outside answers to the call."""
        call.waiting = self.loop.create_future()
        if not self.is_dead:
            self.calls.append(call)
        try:
            return await call.waiting
        finally:
            if call in self.calls:
                self.calls.remove(call)

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task and let it come to its first call."""
        task = self.loop.create_task(work)
        self.rest()
        return task

    def do(self, function: Callable[..., object], *arguments: object) -> None:
        """Call the function in the loop, as another thread or a signal would."""
        self.loop.call_soon(function, *arguments)
        self.rest()

    def deliver(self, call: Call) -> None:
        """Let the process have the answer to a performed call."""
        assert call.is_performed
        assert call.waiting is not None
        if call.error is not None:
            call.waiting.set_exception(call.error)
        else:
            call.waiting.set_result(call.answer)
        self.rest()

    def rest(self) -> None:
        """Let it run until it waits. Whatever one of its tasks raises, but an outage, is raised here."""
        if self.is_stopped or self.is_dead:
            return
        self.loop.rest()
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.remove(task)
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, Unavailable):
                raise error

    def kill(self) -> None:
        """From one moment to the next it is gone, with all that it had in memory; it says nothing more to anybody."""
        self.is_dead = True
        self.calls.clear()
        for _ in range(10):
            self._tasks = [task for task in self._tasks if not task.done()]
            if not self._tasks:
                break
            for task in self._tasks:
                task.cancel()
            self.loop.rest()
        assert not self._tasks, "a task survives its cancellation"
        self.loop.close()

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **options)
        self._tasks.append(task)
        return task
