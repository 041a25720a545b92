"""The endpoint GET /jobs/{id}/result: what a job made, as itself: its file, or the JSON that its type answered."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256

import msgspec
from litestar.types import Receive, Scope
from msgspec import Struct

from commands.ports import JobReader
from commands.results import ResultFile, ResultFiles
from domain.ids import parse_job_id
from entrypoints.api.answers import Answer, Header
from entrypoints.api.conditions import Current, Unsatisfiable, precondition, wanted_range
from entrypoints.api.problems import (
    JOB_NOT_FOUND,
    NO_RESULT,
    PRECONDITION_FAILED,
    RANGE_UNSATISFIABLE,
    RESULT_GONE,
    Problem,
)
from entrypoints.api.streamed import FileAnswer

_CSV = b"text/csv; charset=utf-8"
_ANY_BYTES = b"application/octet-stream"


class _FileResult(Struct, frozen=True, rename="camel"):
    """The result of a job type that makes a file, as `CSV_EXPORT` does; the last two where the type tells them."""

    file_path: str
    bytes: int | None = None
    sha256: str | None = None


class ResultEndpoint:
    """It takes the raw request, and answers or raises what becomes a problem document."""

    def __init__(self, *, jobs: JobReader, files: ResultFiles) -> None:
        self._jobs = jobs
        self._files = files

    async def result(self, scope: Scope, receive: Receive) -> Answer:
        """GET /jobs/{id}/result."""
        job_id = parse_job_id(scope["path"].split("/", 3)[2])
        job = await self._jobs.find(job_id)
        if job is None:
            raise Problem(JOB_NOT_FOUND, f"there is no job {job_id}")
        if job.status != "completed":
            raise Problem(NO_RESULT, f"job {job_id} is {job.status}: only a completed job has a result")
        headers = dict(scope["headers"])
        result = job.result or b"null"
        made = _file_result(result)
        if made is None:
            return _json(result, headers, scope)
        file = await self._files.open(job_id, made.file_path)
        if file is None:
            raise Problem(RESULT_GONE, f"the file of job {job_id} is not in OUTPUT_DIR of this API (any more)")
        try:
            return _file(job_id, made, file, headers, scope)
        except BaseException:
            file.close()
            raise


def _file_result(result: bytes) -> _FileResult | None:
    try:
        return msgspec.json.decode(result, type=_FileResult)
    except msgspec.ValidationError:
        return None


def _file(job_id: str, made: _FileResult, file: ResultFile, headers: dict[bytes, bytes], scope: Scope) -> Answer:
    if made.bytes is not None and made.bytes != file.size:
        detail = f"the file of job {job_id} has {file.size} bytes, but the job wrote {made.bytes}: somebody changed it"
        raise Problem(RESULT_GONE, detail)
    suffix = made.file_path.rpartition(".")[2]
    # Made of both: the digest tells two attempts' files apart, the time tells when somebody has edited one.
    etag = f'"{(made.sha256 or "")[:32]}-{file.size:x}-{file.modified_ns:x}"'.encode("ascii", "replace")
    modified = datetime.fromtimestamp(file.modified_ns // 10**9, UTC)
    current = Current(etag, file.size, modified)
    about = [
        (b"etag", etag),
        (b"last-modified", format_datetime(modified, usegmt=True).encode()),
        (b"content-disposition", f'attachment; filename="{job_id}.{suffix}"'.encode()),
        *_COMMON,
        *_digest(made.sha256),
    ]
    status, begin, end, ranged = _wanted(headers, current, scope)
    if status == 304:
        file.close()
        return _not_modified(about)
    return FileAnswer(
        status,
        file,
        begin=begin,
        end=end,
        content_type=_CSV if suffix.lower() == "csv" else _ANY_BYTES,
        headers=[*about, *ranged],
    )


def _json(result: bytes, headers: dict[bytes, bytes], scope: Scope) -> Answer:
    digest = sha256(result).hexdigest()
    current = Current(f'"{digest[:32]}"'.encode(), len(result))
    about = [(b"etag", current.etag), *_COMMON, *_digest(digest)]
    status, begin, end, ranged = _wanted(headers, current, scope)
    if status == 304:
        return _not_modified(about)
    return Answer(status, result[begin:end], content_type=b"application/json", headers=[*about, *ranged])


def _wanted(headers: dict[bytes, bytes], current: Current, scope: Scope) -> tuple[int, int, int, list[Header]]:
    """The status, the first byte, the one after the last, and what is to be said of these."""
    status = precondition(headers, current)
    if status == 412:
        raise Problem(PRECONDITION_FAILED, "the result is another one than the request wants")
    if status == 304 or scope.get("method") != "GET":
        return status, 0, current.size, []
    try:
        wanted = wanted_range(headers, current)
    except Unsatisfiable as exc:
        length = b"bytes */%d" % current.size
        detail = f"the result has {current.size} bytes: the range lies beyond them"
        raise Problem(RANGE_UNSATISFIABLE, detail, headers=[(b"content-range", length)]) from exc
    if wanted is None:
        return 200, 0, current.size, []
    begin, end = wanted
    return 206, begin, end, [(b"content-range", b"bytes %d-%d/%d" % (begin, end - 1, current.size))]


# A browser must not take what clients had written for a page. It may be kept, and must be asked for before it is used again.
_COMMON: tuple[Header, ...] = (
    (b"accept-ranges", b"bytes"),
    (b"cache-control", b"private, no-cache"),
)


def _digest(hexadecimal: str | None) -> list[Header]:
    """Of the whole, also where a range is sent (RFC 9530)."""
    try:
        digest = bytes.fromhex(hexadecimal or "")
    except ValueError:
        return []
    return [(b"repr-digest", b"sha-256=:%b:" % b64encode(digest))] if len(digest) == 32 else []


def _not_modified(about: list[Header]) -> Answer:
    answer = Answer(304, b"", content_type=b"")
    answer.headers = [(name, value) for name, value in about if name != b"content-disposition"]
    return answer
