"""A request for one job, or for several at once: how it is said over HTTP, and what its answer says of each of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from tests.faults.caller import Reply, outcome_of
from tests.faults.client_log import Answer, Got, Posted
from tests.faults.job_mix import Wanted

_BATCH = "/jobs/batch"
_REPLAYED = "idempotency-replayed"


class JobView(Struct, frozen=True):
    """Of a job as the API shows it, what is judged."""

    version: int = 0
    status: str = ""


class JobRequest(Struct, frozen=True):
    """Can be made again word for word until its answer is clear. `waits`: seconds for which its answer waits for the end."""

    items: Sequence[Wanted]
    headers: str  # whole lines
    body: bytes
    path: str = "/jobs"
    waits: int = 0

    def told(self, reply: Reply, client: int) -> list[Posted]:
        """What the reply says of each job, in their order."""
        if self.path != _BATCH:
            job_id = _one(reply.http.body).job_id if reply.answer == "ok" else ""
            return [self._posted(0, reply, client, reply.answer, reply.status, job_id, _REPLAYED in reply.http.headers)]
        if reply.answer != "ok":
            return [self._posted(n, reply, client, reply.answer, reply.status) for n in range(len(self.items))]
        told = _many(reply.http.body).items
        assert len(told) == len(self.items), (told, self.body)
        return [
            self._posted(n, reply, client, outcome_of(item.status), item.status, item.job_id, item.replayed)
            for n, item in enumerate(told)
        ]

    def seen(self, reply: Reply, client: int) -> Got | None:
        """The job at its end, or as it was when the time was up: what an answer says that was to wait."""
        if not self.waits or reply.answer != "ok":
            return None
        told = _one(reply.http.body)
        return None if told.job is None else _got(reply, told.job_id, client, told.job, self.waits)

    def _posted(
        self, place: int, reply: Reply, client: int, answer: Answer, status: int, job: str = "", replayed: bool = False
    ) -> Posted:
        key, size = self.items[place].asked.key, len(self.items) if self.path == _BATCH else 0
        return Posted(
            key, client, reply.api, reply.began, reply.ended, answer, status, job, replayed, reply.error, size
        )


def one_job(wanted: Wanted, *, waits: int = 0) -> JobRequest:
    """POST /jobs, with its key as a header."""
    kind = f"content-type: {wanted.content_type}\r\n" if wanted.content_type else ""
    return JobRequest([wanted], f"{kind}idempotency-key: {wanted.asked.key}\r\n", wanted.body, waits=waits)


def many_jobs(items: Sequence[Wanted], *, in_lines: bool) -> JobRequest:
    """POST /jobs/batch: an array, or one a line; each with its key. Their bodies must be objects."""
    texts = [one.body[:-1] + b',"idempotencyKey":"%b"}' % one.asked.key.encode() for one in items]
    if in_lines:
        return JobRequest(items, "content-type: application/x-ndjson\r\n", b"\n".join(texts), _BATCH)
    return JobRequest(items, "content-type: application/json\r\n", b"[" + b",".join(texts) + b"]", _BATCH)


def looked(reply: Reply, job_id: str, client: int, *, waited: int = 0) -> Got:
    """What an answer to GET /jobs/{id} says."""
    return _got(reply, job_id, client, job_view(reply), waited)


def _got(reply: Reply, job_id: str, client: int, job: JobView, waited: int) -> Got:
    times = (reply.api, reply.began, reply.ended)
    return Got(job_id, client, *times, reply.answer, reply.status, job.version, job.status, reply.error, waited)


def job_view(reply: Reply) -> JobView:
    """The job that an answer shows; an empty one where it is no 2xx."""
    return _view(reply.http.body) if reply.answer == "ok" else JobView()


class _One(Struct, frozen=True):
    job_id: str = msgspec.field(name="jobId", default="")
    job: JobView | None = None


class _Item(Struct, frozen=True):
    status: int
    job_id: str = msgspec.field(name="jobId", default="")
    replayed: bool = False


class _Many(Struct, frozen=True):
    items: list[_Item]


_view = msgspec.json.Decoder(JobView).decode
_one = msgspec.json.Decoder(_One).decode
_many = msgspec.json.Decoder(_Many).decode
