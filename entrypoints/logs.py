"""The log lines of all processes: readable in a terminal, JSON lines otherwise. Set up once a process, before it does anything.

A line is an event with fields; `process` says whose it is. What libraries log by the standard library's `logging` comes out
the same way.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Any, TextIO, cast

import msgspec
import structlog
from structlog.dev import Column, KeyValueColumnFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from entrypoints.settings import Settings

_DIM, _BOLD, _RESET = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_LEVEL_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_FIRST = ("timestamp", "level", "process", "event")  # in JSON lines


def set_up_logs(process: str, settings: Settings, *, to: TextIO | None = None) -> None:
    """Send the log lines of this process to the standard output, or to `to`, as `settings` say: format and level."""
    stream = to or sys.stdout
    output = _Output(stream)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _names(process),
        structlog.processors.StackInfoRenderer(),
    ]
    rendering: list[Processor]
    if is_console(settings, stream):
        rendering = [_console(colours=stream.isatty() and not os.environ.get("NO_COLOR"))]
    else:
        rendering = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
    structlog.configure(
        processors=[*common, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", output)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Each of its tries to connect would be a line; that the server is away is told once, by commands.outages.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)


def is_console(settings: Settings, output: TextIO) -> bool:
    """Whether lines to `output` are for people: as LOG_FORMAT says, or by whether it is a terminal."""
    if settings.log_format == "auto":
        return output.isatty()
    return settings.log_format == "console"


class _Output:
    """Standard output, but a reader that went away or a full disk stops no job: such a line is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _names(process: str) -> Processor:
    def name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    return name


def _console(*, colours: bool) -> structlog.dev.ConsoleRenderer:
    dim, bold, reset = (_DIM, _BOLD, _RESET) if colours else ("", "", "")

    def plain(key: str, value: object) -> str:
        return f"{dim}{value}{reset}"

    def level(key: str, value: object) -> str:
        return f"{_LEVEL_COLOURS.get(str(value), '') if colours else ''}{value!s:<7}{reset}"

    def process(key: str, value: object) -> str:
        return f"{bold}{value!s:<12}{reset}"

    def event(key: str, value: object) -> str:
        return str(value)

    rest = KeyValueColumnFormatter(key_style=dim, value_style="", reset_style=reset, value_repr=_short)
    return structlog.dev.ConsoleRenderer(
        columns=[
            Column("timestamp", plain),
            Column("level", level),
            Column("process", process),
            Column("event", event),
            Column("", rest),
        ],
        exception_formatter=structlog.dev.plain_traceback,
    )


def _short(value: object) -> str:
    return value if isinstance(value, str) and value and " " not in value else repr(value)


def _to_json(event: EventDict, **_options: Any) -> str:
    ordered = {key: event.pop(key) for key in _FIRST if key in event} | dict(event)
    return msgspec.json.encode(ordered, enc_hook=repr).decode()
