"""CSV_EXPORT: `payload.data`, a list of objects, becomes the file `<OUTPUT_DIR>/<job id>.csv`.

How CSV is written stands in adapters/files/csv_text.py, how a file becomes whole in adapters/files/whole_file.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
from msgspec import Raw, Struct

import jobledger
from adapters.files.csv_text import BLOCK_ROWS, csv_blocks
from adapters.files.json_rows import decode_rows
from adapters.files.whole_file import whole_file

# Threads that compute at once only wait for each other, and wake up to see whether they still do; what they write to the disk
# they write at once.
_computing = Lock()


class CsvExport(Struct, frozen=True):
    """The payload. `data`: a list of objects. `raw`: leave texts as they are, even those that a spreadsheet would run."""

    data: Raw
    raw: bool = False


class ExportedFile(Struct, frozen=True, rename="camel"):
    """The result. `file_path` is absolute; `rows` does not count the header; `sha256` is of the file's bytes, in hex."""

    file_path: str
    rows: int
    bytes: int
    sha256: str


def job_type(settings: Mapping[str, Any]) -> jobledger.JobType:
    """CSV_EXPORT, writing into OUTPUT_DIR."""
    output_dir = Path(settings["OUTPUT_DIR"]).absolute()

    @jobledger.job_type("CSV_EXPORT", payload=CsvExport)
    def csv_export(payload: CsvExport, context: jobledger.Context) -> ExportedFile:
        return export(payload, context, output_dir=output_dir)

    return csv_export


def export(payload: CsvExport, context: jobledger.Context, *, output_dir: Path) -> ExportedFile:
    """Write the file; a repetition replaces it with the same bytes. Raises ValueError for data that is no list of objects,
    OSError for a disk that does not take it; then there is neither a torn file nor a temporary one.
    """
    try:
        with _computing:
            rows = decode_rows(payload.data)
    except msgspec.ValidationError as exc:
        raise ValueError(f"payload.data must be a list of objects: {exc}") from exc
    target = output_dir / f"{context.job_id}.csv"
    written = 0
    with whole_file(target, owner=f"{context.job_id}-{context.attempt}") as file:
        for number, block in enumerate(_in_turn(csv_blocks(rows, neutralise=not payload.raw))):
            if context.should_stop:
                raise RuntimeError(f"told to stop after {written} of {len(rows)} rows")
            file.write(block)
            written = min(number * BLOCK_ROWS, len(rows))  # the first block is the header
            context.progress(written / len(rows), f"{written} of {len(rows)} rows written")
    return ExportedFile(file_path=str(target), rows=len(rows), bytes=file.bytes, sha256=file.sha256)


def _in_turn(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks, each of which is made while no other thread makes one."""
    remaining = iter(blocks)
    while True:
        with _computing:
            block = next(remaining, None)
        if block is None:
            return
        yield block
