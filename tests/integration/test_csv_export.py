"""CSV_EXPORT on a real disk: whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.files.csv_text import BLOCK_ROWS
from adapters.job_types.csv_export import CsvExport, ExportedFile, job_type
from tests.contexts import JOB_ID, HandlerContext

EXAMPLE = {
    "data": [
        {"id": 1, "name": "venkat", "email": "venkat@example.com"},
        {"id": 2, "name": "sai", "email": "sai@example.com"},
    ]
}


def export(payload: Any, output_dir: Path, context: HandlerContext | None = None) -> ExportedFile:
    decoded = msgspec.json.decode(json.dumps(payload), type=CsvExport)
    exported: ExportedFile = job_type({"OUTPUT_DIR": str(output_dir)}).run(decoded, context or HandlerContext())
    return exported


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_a_list_of_objects_becomes_a_file_named_for_the_job(tmp_path: Path) -> None:
    result = export(EXAMPLE, tmp_path / "made" / "for it")

    content = b"id,name,email\r\n1,venkat,venkat@example.com\r\n2,sai,sai@example.com\r\n"
    target = tmp_path / "made" / "for it" / f"{JOB_ID}.csv"
    assert target.read_bytes() == content
    assert result == ExportedFile(
        file_path=str(target), rows=2, bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    assert set(json.loads(msgspec.json.encode(result))) == {"filePath", "rows", "bytes", "sha256"}
    assert names_in(target.parent) == [target.name]


def test_the_path_is_absolute_where_the_setting_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert export(EXAMPLE, Path("output")).file_path == str(tmp_path / "output" / f"{JOB_ID}.csv")


def test_an_export_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        path = Path(export(EXAMPLE, tmp_path).file_path)
    finally:
        os.umask(mask)

    assert path.stat().st_mode & 0o777 == 0o644


def test_a_repetition_replaces_the_file_with_the_same_bytes(tmp_path: Path) -> None:
    first = export(EXAMPLE, tmp_path)
    Path(first.file_path).write_text("torn")

    second = export(EXAMPLE, tmp_path, HandlerContext(attempt=2))

    assert second == first
    assert hashlib.sha256(Path(first.file_path).read_bytes()).hexdigest() == first.sha256


def test_no_rows_make_an_empty_file(tmp_path: Path) -> None:
    result = export({"data": []}, tmp_path)

    assert (result.rows, result.bytes, Path(result.file_path).read_bytes()) == (0, 0, b"")


def test_formulas_are_neutralised_unless_the_payload_says_raw(tmp_path: Path) -> None:
    data = [{"=h": "=1+1", "n": -1}]

    assert Path(export({"data": data}, tmp_path).file_path).read_bytes() == b"'=h,n\r\n'=1+1,-1\r\n"
    assert Path(export({"data": data, "raw": True}, tmp_path).file_path).read_bytes() == b"=h,n\r\n=1+1,-1\r\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("invalid", "Expected `array`, got `str`"),
        ({"a": 1}, "Expected `array`, got `object`"),
        (None, "Expected `array`, got `null`"),
        ([{"a": 1}, 2], r"Expected `object`, got `int` - at `\$\[1\]`"),
    ],
)
def test_data_of_another_shape_is_an_error_that_says_so(tmp_path: Path, data: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"payload.data must be a list of objects: {reason}"):
        export({"data": data}, tmp_path)
    assert names_in(tmp_path) == []


def test_a_long_export_heeds_the_word_to_stop(tmp_path: Path) -> None:
    class StopsHalfWay(HandlerContext):
        def progress(self, fraction: float, note: str = "") -> None:
            super().progress(fraction, note)
            self.should_stop = fraction > 0

    context = StopsHalfWay()

    with pytest.raises(RuntimeError, match=f"told to stop after {BLOCK_ROWS} of {3 * BLOCK_ROWS} rows"):
        export({"data": [{"n": 1}] * (3 * BLOCK_ROWS)}, tmp_path, context)
    assert names_in(tmp_path) == []


def test_a_file_that_cannot_take_its_name_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / f"{JOB_ID}.csv").mkdir()

    with pytest.raises(OSError, match=f"'{tmp_path / JOB_ID}.csv'"):
        export(EXAMPLE, tmp_path)
    assert names_in(tmp_path) == [f"{JOB_ID}.csv"]


def test_a_directory_that_cannot_be_made_is_an_ordinary_error(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file")

    with pytest.raises(OSError, match="output"):
        export(EXAMPLE, tmp_path / "output")


_EXPORT_WITH_LITTLE_ROOM = """
import resource, sys
from pathlib import Path
from tests.integration.test_csv_export import export
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    export({"data": [{"n": "x" * 50}] * 3000}, Path(sys.argv[1]))
except OSError as exc:
    print(exc)
"""


def test_a_disk_that_takes_no_more_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    old = Path(export(EXAMPLE, tmp_path).file_path).read_bytes()

    # A limit of the process stands for the full disk: the write is cut short, then refused, in the same way.
    ran = subprocess.run(
        [sys.executable, "-c", _EXPORT_WITH_LITTLE_ROOM, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert "File too large" in ran.stdout
    assert f"{JOB_ID}.csv" in ran.stdout
    assert names_in(tmp_path) == [f"{JOB_ID}.csv"]
    assert (tmp_path / f"{JOB_ID}.csv").read_bytes() == old
