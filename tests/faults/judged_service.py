"""A service of one process each whose run is judged: what a test posts is written down as the load writes it down.

with JudgedService(home, postgres_url=…, redis_url=…) as service:
    service.start("api", "dispatcher", "projector", "worker")
    job_id = service.post("TALLIED")
    ...
    verdict = await service.verdict()
"""

from __future__ import annotations

import hashlib
import itertools
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from domain.events import RecordedEvent
from tests.faults.client_log import Answer, Asked, ClientLog, FileAsked, LoadBegan, MailAsked, Posted
from tests.faults.draining import until_drained
from tests.faults.fault_job_site import install_fault_jobs
from tests.faults.judge import judge
from tests.faults.mail_server import mail_digest
from tests.faults.run_directory import RunDirectory
from tests.faults.verdict import Verdict
from tests.system.service import Service


class JudgedService(Service):
    """Its job types are those of fault_jobs.py. `directory` is what the judge reads."""

    def __init__(self, home: Path, *, postgres_url: str, redis_url: str, **settings: object) -> None:
        self.directory = RunDirectory(home / "run")
        self._liveness = float(str(settings.get("LIVENESS_SECONDS", 15)))
        self._numbers = itertools.count(1)
        self._lines = ClientLog(self.directory.requests("by hand"))
        self.database_url, self._redis = postgres_url, redis_url
        where = {"OUTPUT_DIR": self.directory.output, "TALLY": self.directory.tally}
        super().__init__(home, postgres_url=postgres_url, redis_url=redis_url, **{**where, **settings})
        self.directory.tally.touch()
        self._tally = self.directory.tally
        self.site = install_fault_jobs(home / "fault jobs")

    def __enter__(self) -> Self:
        self._lines.__enter__()
        self._lines.write(LoadBegan(0, time.monotonic(), time.time()))
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, exc, traceback)
        self._lines.__exit__(kind, exc, traceback)

    def post(self, job_type: str, payload: object = None, *, priority: str = "default") -> str:
        """Post a job, which must be accepted; gives its id. The payload gets a `key`, so that it is like no other."""
        key = f"by-hand-{next(self._numbers)}"
        given = payload if isinstance(payload, dict) else {"payload": payload}
        answer = self.send(job_type, msgspec.json.encode({"key": key, **given}), key=key, priority=priority)
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["jobId"]
        return job_id

    def post_mail(self, to: list[str], *, subject: str, body: str) -> str:
        """Post a mail job, which must be accepted; gives its id. `body` ends with a line break, as every mail's text does."""
        key = f"by-hand-{next(self._numbers)}"
        payload = msgspec.json.encode({"key": key, "to": to, "subject": subject, "body": body})
        mail = MailAsked(to, mail_digest(subject=subject, body=body))
        answer = self.send("EMAIL_SEND", payload, key=key, mail=mail)
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["jobId"]
        return job_id

    def send(
        self,
        job_type: str,
        payload: bytes,
        *,
        key: str | None = None,
        priority: str = "default",
        file: FileAsked | None = None,
        mail: MailAsked | None = None,
    ) -> httpx.Response:
        """Post this very payload; any answer will do."""
        body = b'{"type":"%b","priority":"%b","payload":%b}' % (job_type.encode(), priority.encode(), payload)
        asked = Asked("", 0, job_type, priority, hashlib.sha256(payload).hexdigest(), file, mail)
        return self.send_body(body, asked, key=key)

    def send_body(
        self, body: bytes, asked: Asked, *, key: str | None = None, content_type: str = "application/json"
    ) -> httpx.Response:
        """Post this very body, which asks for what `asked` says (its key is given here); any answer will do."""
        asked = msgspec.structs.replace(asked, key=key or f"by-hand-{next(self._numbers)}")
        self._lines.write(asked)
        headers = {"idempotency-key": asked.key, **({"content-type": content_type} if content_type else {})}
        url, began = str(self.http.base_url), time.monotonic()
        answer = self.http.post("/jobs", content=body, headers=headers)
        said: Answer = "ok" if answer.is_success else "refused" if answer.is_client_error else "unknown"
        job_id: str = answer.json()["jobId"] if answer.is_success else ""
        self._lines.write(Posted(asked.key, 0, url, began, time.monotonic(), said, answer.status_code, job=job_id))
        return answer

    def events(self, job_id: str) -> list[Any]:
        """The events of a job, without what is around them."""
        return [recorded.event for recorded in self.log(job_id)]

    def closings(self, job_id: str) -> list[RecordedEvent]:
        """The events that closed an attempt of the job."""
        return [one for one in self.log(job_id) if type(one.event).__name__ in ("Attempted", "Completed", "Failed")]

    async def verdict(self, *, within: float = 60.0, **options: Any) -> Verdict:
        """Wait until the queue is drained, and let the run be judged: see judge."""
        await until_drained(self.database_url, self._redis, within=within)
        return await judge(
            self.directory, database_url=self.database_url, redis_url=self._redis, liveness=self._liveness, **options
        )
