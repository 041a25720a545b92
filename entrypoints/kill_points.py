"""Places at which a process ends itself, for the fault tests: KILL_AT names one. Nothing imports this where it is not set.

A place is before or after a call of a port, so neither the core nor an adapter has a trace of it: wiring puts `armed` around
the ports. `KILL_AT=after-started` kills at the first such moment, `after-started:3` at the third; `after-started:3:STOP` stops
the process there instead (SIGSTOP), until somebody continues it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar, cast

import structlog
from msgspec import Struct

from commands.attempt import AttemptContext
from commands.ports import Append, Appended
from domain.events import type_name
from entrypoints.settings import InvalidSetting

_log = structlog.get_logger(__name__)

PortT = TypeVar("PortT")
_SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}


class Place(Struct, frozen=True):
    """One place: `when` the port's `method` is called, if `holds` of its arguments and (after it) of its answer."""

    method: str
    when: Literal["before", "after", "within"]
    holds: Callable[[tuple[Any, ...], Any], bool] = lambda _arguments, _answer: True


def _appends(*types: str) -> Callable[[tuple[Any, ...], Any], bool]:
    """Whether a command of an append is of one of these types, and (after it) was appended."""

    def holds(arguments: tuple[Any, ...], answers: Any) -> bool:
        commands: list[Append] = list(arguments[0])
        return any(
            type_name(command.events[0].event) in types and (answers is None or isinstance(answers[number], Appended))
            for number, command in enumerate(commands)
        )

    return holds


def _loses(arguments: tuple[Any, ...], _answers: Any) -> bool:
    return any(getattr(new.event, "outcome", None) == "lost" for command in arguments[0] for new in command.events)


def _relays(arguments: tuple[Any, ...], _answer: Any) -> bool:
    return bool(arguments[2])  # not the empty look of an idle relay


def _answers_something(_arguments: tuple[Any, ...], answer: Any) -> bool:
    return bool(answer)


PLACES = {
    # the API
    "before-created": Place("append", "before", _appends("Created")),
    "after-created": Place("append", "after", _appends("Created")),  # committed, and not answered
    # a worker
    "after-read": Place("read", "after", _answers_something),
    "before-started": Place("append", "before", _appends("Started")),
    "after-started": Place("append", "after", _appends("Started")),
    "in-effect": Place("run", "within"),  # when the code reports progress
    "after-effect": Place("run", "after"),
    "after-completed": Place("append", "after", _appends("Completed")),
    "after-attempted": Place("append", "after", _appends("Attempted")),
    "before-acknowledged": Place("acknowledge", "before"),
    "acknowledged": Place("acknowledge", "after"),
    "after-sweep": Place("sweep", "after", _answers_something),
    # a dispatcher
    "before-relay": Place("relay", "before", _relays),
    "after-relay": Place("relay", "after", _relays),
    "before-reset": Place("reset", "before"),
    "after-reset": Place("reset", "after"),  # the queue is empty and marked as ours; no page of it is relayed
    "before-woken": Place("append", "before", _appends("Queued")),
    "after-woken": Place("append", "after", _appends("Queued")),
    "after-removed": Place("remove", "after", _answers_something),  # the dead worker has no row, its attempts are open
    "after-lost": Place("append", "after", _loses),
    # a projector
    "before-fold": Place("fold_page", "before"),
    "after-fold": Place("fold_page", "after", lambda _arguments, page: page is not None and page.rows > 0),
}


def armed(port: PortT, kill_at: str) -> PortT:
    """The port, which ends this process at the place that `kill_at` names; the port itself if that place is not on it.

    Raises InvalidSetting for a place that does not exist.
    """
    name, _, rest = kill_at.partition(":")
    number, _, how = rest.partition(":")
    place = PLACES.get(name)
    if place is None or not (number or "1").isdecimal() or (how or "KILL") not in _SIGNALS:
        places = ", ".join(PLACES)
        raise InvalidSetting(
            "KILL_AT", kill_at, f"must be <place>, <place>:<nth> or <place>:<nth>:STOP with one of {places}"
        )
    if not hasattr(port, place.method):
        return port
    _log.warning("this process ends itself at a named place: KILL_AT is set", kill_at=kill_at)
    return cast("PortT", _Armed(port, place, nth=int(number or 1), signal=_SIGNALS[how or "KILL"]))


class _Armed:
    """Stands before a port; everything but one method goes straight through."""

    def __init__(self, port: object, place: Place, *, nth: int, signal: signal.Signals) -> None:
        self._port = port
        self._place = place
        self._left = nth
        self._signal = signal

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        return self._watched(attribute) if name == self._place.method else attribute

    def _watched(self, method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
        place = self._place

        async def call(*arguments: Any, **named: Any) -> Any:
            if place.when == "before" and place.holds(arguments, None):
                self._reached()
            if place.when == "within":
                _watch_progress(arguments[2], self._reached)
            answer = await method(*arguments, **named)
            if place.when == "after" and place.holds(arguments, answer):
                self._reached()
            return answer

        return call

    def _reached(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._signal)


def _watch_progress(context: AttemptContext, reached: Callable[[], None]) -> None:
    """Let `reached` be called whenever the attempt's code reports progress: code does so in the middle of its effect."""

    class Watched(type(context)):  # type: ignore[misc]  # whatever kind of context it is
        __slots__ = ()

        def progress(self, fraction: float, note: str = "") -> None:
            super().progress(fraction, note)
            reached()

    context.__class__ = Watched
