"""GET /jobs/{id}/result over the fake log and real files: the file itself, and nothing but that job's."""

from __future__ import annotations

import asyncio
import hashlib
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest
import uuid_utils

from adapters.files.result_files import OutputFiles
from commands.ports import Append, Appended
from domain.events import Completed, Created, NewEvent, Started
from entrypoints.api.streamed import PIECE_BYTES, FileAnswer
from tests.api_under_test import client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader

CSV = b"id,name\r\n1,venkat\r\n2,sai\r\n"


@pytest.fixture
def log() -> FakeEventLog:
    log = FakeEventLog()
    log.workers.add("w1")
    return log


@pytest.fixture
async def client(log: FakeEventLog, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_api(log, FakeHealthReader(), output_dir=tmp_path / "output")) as client:
        (tmp_path / "output").mkdir()
        yield client


async def completed(log: FakeEventLog, result: object, job_id: str | None = None) -> str:
    """The id of a job that has completed with this result."""
    job_id = job_id or str(uuid_utils.uuid7())
    created = Created(type="CSV_EXPORT", priority="high", attempt=1, used=0, max_attempts=3)
    events = [
        NewEvent(created, b"null"),
        NewEvent(Started(attempt=1, worker="w1")),
        NewEvent(
            Completed(attempt=1, worker="w1"), result if isinstance(result, bytes) else msgspec.json.encode(result)
        ),
    ]
    for version, event in enumerate(events):
        [answer] = await log.append([Append(job_id, version, [event], "w1")])
        assert isinstance(answer, Appended)
    return job_id


async def exported(log: FakeEventLog, tmp_path: Path, content: bytes = CSV, suffix: str = "csv") -> str:
    """The id of a job that has made a file, as CSV_EXPORT does; it was seen elsewhere by who wrote it."""
    job_id = str(uuid_utils.uuid7())
    (tmp_path / "output" / f"{job_id}.{suffix}").write_bytes(content)
    result = {
        "filePath": f"/app/output/{job_id}.{suffix}",
        "rows": 2,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return await completed(log, result, job_id)


async def test_an_export_comes_as_it_was_written(client: httpx.AsyncClient, log: FakeEventLog, tmp_path: Path) -> None:
    job_id = await exported(log, tmp_path)

    answer = await client.get(f"/jobs/{job_id}/result")
    assert (answer.status_code, answer.content) == (200, CSV)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{job_id}.csv"'
    assert answer.headers["content-length"] == str(len(CSV))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["repr-digest"] == f"sha-256=:{b64encode(hashlib.sha256(CSV).digest()).decode()}:"
    assert answer.headers["last-modified"].endswith("GMT")


async def test_head_tells_the_same_without_the_file(
    client: httpx.AsyncClient, log: FakeEventLog, tmp_path: Path
) -> None:
    job_id = await exported(log, tmp_path)

    head = await client.head(f"/jobs/{job_id}/result", headers={"range": "bytes=0-1"})
    full = await client.get(f"/jobs/{job_id}/result")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == full.headers


async def test_a_large_file_is_sent_piece_by_piece_and_put_together_from_ranges(
    client: httpx.AsyncClient, log: FakeEventLog, tmp_path: Path
) -> None:
    content = os.urandom(PIECE_BYTES * 3 + 17)
    job_id = await exported(log, tmp_path, content, suffix="bin")

    whole = await client.get(f"/jobs/{job_id}/result")
    assert whole.headers["content-type"] == "application/octet-stream"
    assert whole.content == content
    parts = []
    step = PIECE_BYTES + 5
    for begin in range(0, len(content), step):
        part = await client.get(
            f"/jobs/{job_id}/result",
            headers={"range": f"bytes={begin}-{begin + step - 1}", "if-range": whole.headers["etag"]},
        )
        assert part.status_code == 206
        end = begin + len(part.content) - 1
        assert part.headers["content-range"] == f"bytes {begin}-{end}/{len(content)}"
        parts.append(part.content)
    assert b"".join(parts) == content


async def test_a_client_that_has_it_gets_nothing(client: httpx.AsyncClient, log: FakeEventLog, tmp_path: Path) -> None:
    job_id = await exported(log, tmp_path)
    etag = (await client.get(f"/jobs/{job_id}/result")).headers["etag"]

    again = await client.get(f"/jobs/{job_id}/result", headers={"if-none-match": etag})
    other = await client.get(f"/jobs/{job_id}/result", headers={"if-match": '"other"'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert (other.status_code, other.json()["type"]) == (412, "/schema#precondition-failed")


async def test_a_range_beyond_the_end_is_416(client: httpx.AsyncClient, log: FakeEventLog, tmp_path: Path) -> None:
    job_id = await exported(log, tmp_path)

    answer = await client.get(f"/jobs/{job_id}/result", headers={"range": "bytes=1000-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CSV)}"


@pytest.mark.parametrize("result", [{"messageId": "<a@b>"}, None, "done", [1, 2], {"filePath": 5}])
async def test_of_other_jobs_it_is_their_json(client: httpx.AsyncClient, log: FakeEventLog, result: object) -> None:
    job_id = await completed(log, result)

    answer = await client.get(f"/jobs/{job_id}/result")
    again = await client.get(f"/jobs/{job_id}/result", headers={"if-none-match": answer.headers["etag"]})
    first = await client.get(f"/jobs/{job_id}/result", headers={"range": "bytes=0-0"})
    assert (answer.status_code, answer.json()) == (200, result)
    assert answer.headers["content-type"] == "application/json"
    assert again.status_code == 304
    assert (first.status_code, first.content) == (206, answer.content[:1])


async def test_a_job_that_is_not_completed_has_no_result(client: httpx.AsyncClient) -> None:
    body = b'{"type": "CSV_EXPORT", "payload": null}'
    job_id = (await client.post("/jobs", content=body, headers={"content-type": "application/json"})).json()["jobId"]

    answer = await client.get(f"/jobs/{job_id}/result")
    unknown = await client.get(f"/jobs/{uuid_utils.uuid7()}/result")
    assert (answer.status_code, answer.json()["type"]) == (404, "/schema#no-result")
    assert "is pending" in answer.json()["detail"]
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/schema#job-not-found")
    assert (await client.get("/jobs/4711/result")).status_code == 400


async def test_a_file_that_is_gone_or_was_changed_is_410(
    client: httpx.AsyncClient, log: FakeEventLog, tmp_path: Path
) -> None:
    gone, changed = await exported(log, tmp_path), await exported(log, tmp_path)
    (tmp_path / "output" / f"{gone}.csv").unlink()
    (tmp_path / "output" / f"{changed}.csv").write_bytes(CSV + b"3,eve\r\n")

    for job_id in (gone, changed):
        answer = await client.get(f"/jobs/{job_id}/result")
        assert (answer.status_code, answer.json()["type"]) == (410, "/schema#result-gone")


async def test_only_that_job_s_own_file_is_given(client: httpx.AsyncClient, log: FakeEventLog, tmp_path: Path) -> None:
    other = await exported(log, tmp_path)
    secret = tmp_path / "secret.csv"
    secret.write_bytes(b"secret")
    output = tmp_path / "output"
    paths = [
        "/etc/passwd",
        "../secret.csv",
        f"{output}/{other}.csv",
        "{id}.csv/../../secret.csv",
        "{id}.csv/..",
        "{id}",
        "{id}.",
        "{id}.c\0v",
        "{id}.a.csv",
        ".",
        "",
    ]
    for path in paths:
        job_id = str(uuid_utils.uuid7())
        (output / job_id).write_bytes(b"secret")
        await completed(log, {"filePath": path.replace("{id}", job_id)}, job_id)
        assert (await client.get(f"/jobs/{job_id}/result")).status_code == 410, path


@pytest.mark.parametrize("kind", ["link", "directory", "pipe", "dangling"])
async def test_what_is_no_file_is_not_opened(
    client: httpx.AsyncClient, log: FakeEventLog, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_bytes(b"secret")
    job_id = str(uuid_utils.uuid7())
    place = tmp_path / "output" / f"{job_id}.csv"
    if kind == "directory":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(secret if kind == "link" else tmp_path / "nowhere")
    await completed(log, {"filePath": str(place)}, job_id)

    assert (await client.get(f"/jobs/{job_id}/result")).status_code == 410


async def test_a_file_is_closed_whatever_becomes_of_its_answer(
    client: httpx.AsyncClient, log: FakeEventLog, tmp_path: Path
) -> None:
    job_id = await exported(log, tmp_path)
    before = psutil.Process().num_fds()
    for headers in ({}, {"range": "bytes=0-1"}, {"range": "bytes=99-"}, {"if-match": '"x"'}, {"if-none-match": "*"}):
        await client.get(f"/jobs/{job_id}/result", headers=headers)
        await client.head(f"/jobs/{job_id}/result", headers=headers)

    assert psutil.Process().num_fds() == before


async def test_a_client_that_goes_ends_the_reading(tmp_path: Path) -> None:
    job_id = str(uuid_utils.uuid7())
    (tmp_path / f"{job_id}.bin").write_bytes(bytes(PIECE_BYTES * 100))
    file = await OutputFiles(tmp_path).open(job_id, f"{job_id}.bin")
    assert file is not None
    sent: list[int] = []
    gone = asyncio.Event()

    async def receive() -> dict[str, object]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.body":
            sent.append(len(message["body"]))  # type: ignore[arg-type]
            if len(sent) == 2:
                gone.set()
                await asyncio.sleep(0)
        await asyncio.sleep(0)

    answer = FileAnswer(200, file, begin=0, end=file.size, content_type=b"a/b")
    await answer({"type": "http", "method": "GET"}, receive, send)  # type: ignore[arg-type]

    assert 2 <= len(sent) < 10
    with pytest.raises(OSError, match="Bad file descriptor"):
        await file.read(0, 1)
