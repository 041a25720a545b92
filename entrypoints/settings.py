"""Every setting, with its default and meaning. The only place that reads the environment (and `.env`).

`SETTINGS` below is also what `.env.example` and the table in the README are checked against.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from dotenv import dotenv_values
from msgspec import Meta, Struct

from domain.errors import JobledgerError

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class InvalidSetting(JobledgerError):
    """A setting in the environment cannot be used."""

    code = "invalid_setting"

    def __init__(self, name: str, value: str, problem: str) -> None:
        super().__init__(f"{name}={value!r}: {problem}")
        self.name = name


class Settings(Struct, frozen=True, rename="upper", kw_only=True):
    """One field a setting; its name in capitals is the environment variable."""

    # Where things are
    api_host: str = "127.0.0.1"
    api_port: Port = 3000
    database_url: str = ""  # empty: `jobledger up` starts a PostgreSQL of its own
    database_owner_url: str = (
        ""  # the same database as its owner, for migrating and rebuilding; empty: DATABASE_URL does all
    )
    redis_url: str = ""  # empty: `jobledger up` starts a Valkey of its own
    data_dir: Path = Path(".jobledger")
    output_dir: Path = Path("output")
    postgres_port: Port = 5433  # of the PostgreSQL that `jobledger up` starts
    redis_port: Port = 6380  # of the Valkey that `jobledger up` starts

    # Mail
    mail_host: str = "127.0.0.1"
    mail_port: Port = 1025
    mail_from: str = "jobledger@localhost"
    mail_username: str = ""
    mail_password: str = ""
    mail_tls: Literal["none", "starttls", "tls"] = "none"
    mail_ca_file: str = ""  # PEM file: authorities to trust for the mail server, beside the system's
    mail_timeout_seconds: Seconds = 30.0  # for each reply of the mail server
    mail_resend_in_doubt: bool = True  # a mail that may have been sent: send again (same Message-ID) or fail for good
    mail_ui_port: Port = 8025  # of the mail catcher's page in `jobledger up`
    mail_catcher_host: str = "127.0.0.1"  # where the mail catcher listens; in a container 0.0.0.0

    # Running jobs
    worker_concurrency: Count = 100
    job_timeout_seconds: Seconds = 300.0
    max_attempts: Count = 3
    retry_base_seconds: Seconds = 1.0
    retry_max_seconds: Seconds = 3600.0
    shutdown_grace_seconds: Seconds = 30.0
    result_max_bytes: Count = 1024 * 1024  # of one job's result as JSON; a larger one is not kept, and the job fails
    liveness_seconds: Seconds = 15.0  # a worker whose heartbeat stands still for so long is given up

    # HTTP
    allow_anonymous: bool = (
        False  # while no API key was made: listen elsewhere than on the loopback address all the same
    )
    jobledger_api_key: str = ""  # the token that `jobledger submit` sends; the service itself needs none
    max_body_bytes: Count = 1024 * 1024
    max_batch_bytes: Count = 16 * 1024 * 1024  # of a request with many jobs
    request_head_seconds: Seconds = 10.0  # in which a request's line and headers must arrive
    request_body_seconds: Seconds = 60.0  # in which the whole body must
    max_requests_per_second: Annotated[int, Meta(ge=0)] = (
        0  # of one key, or one address, to one API process; 0: no limit
    )
    max_event_streams: Count = 1000  # open at once in one API process
    idempotency_key_hours: Seconds = 24.0
    ready_max_lag_seconds: Seconds = 30.0  # how far the read side may be behind the log before /readyz turns red

    # Metrics
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = 9464  # the API's; see entrypoints.metrics; 0: no metrics

    # Logs
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"  # auto: console in a terminal, else json

    # Fault tests of the service itself
    kill_at: str = (
        ""  # the place at which a process ends itself: entrypoints.kill_points; empty, as it must be: nowhere
    )


def read_settings(environ: Mapping[str, str] | None = None, *, dotenv: Path | None = Path(".env")) -> Settings:
    """Read the settings from `environ` (None: the process's), over those in the file `dotenv`, over the defaults.

    Empty values count as not given. Raises InvalidSetting, which names the variable and what is allowed.
    """
    given: dict[str, str | None] = dict(dotenv_values(dotenv)) if dotenv is not None and dotenv.is_file() else {}
    given.update(os.environ if environ is None else environ)
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(Settings):
        text = given.get(field.encode_name)
        if not text:
            continue
        try:
            values[field.encode_name] = msgspec.convert(text, field.type, strict=False, dec_hook=_decode_path)
        except msgspec.ValidationError as exc:
            raise InvalidSetting(field.encode_name, text, str(exc)) from exc
    return msgspec.convert(values, Settings, dec_hook=_decode_path)


def environment_of(settings: Settings) -> dict[str, str]:
    """This process's environment with `settings` written into it: a child that reads it has the very same settings."""
    environ = dict(os.environ)
    for field in msgspec.structs.fields(Settings):
        value = getattr(settings, field.name)
        environ[field.encode_name] = str(value).lower() if isinstance(value, bool) else str(value)
    return environ


def _decode_path(wanted: type, value: object) -> object:
    if wanted is Path:
        return Path(str(value)).expanduser()
    raise NotImplementedError(wanted)
