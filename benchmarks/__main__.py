"""`python -m benchmarks`, as `make bench` runs it: prepare, measure, write results, tables and plots."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from benchmarks import machine
from benchmarks.bench import SMALL, Bench, Sizes, Work, can_run, measure
from benchmarks.processes import BenchFailed
from benchmarks.report import write_report
from benchmarks.results import load_all, result_of, save
from benchmarks.servers import running_servers
from benchmarks.tools import HERE, CannotPrepare, Tools, prepare
from benchmarks.works import ALL, large

_PAGE = HERE.parent / "docs" / "performance.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Answers the exit code."""
    every = [*ALL, *large.ALL]
    asked = _parser(every).parse_args(arguments)
    if asked.list:
        print("\n".join(f"{work.name:20} {work.title}" for work in every))
        return 0
    wanted = [work for work in every if work.name in asked.only] if asked.only else large.ALL if asked.large else ALL
    sizes = replace(SMALL if asked.small else Sizes(), **({"runs": asked.runs} if asked.runs else {}))
    try:
        tools = Tools(None, None, None) if asked.without_rivals else prepare()
        _measure_all(wanted, sizes, tools, results=asked.results, home=asked.home)
    except (BenchFailed, CannotPrepare) as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    results = load_all(asked.results, [work.name for work in every])
    write_report(results, page=asked.page, directory=asked.results, link=asked.link)
    return 0


def _measure_all(works: Sequence[Work], sizes: Sizes, tools: Tools, *, results: Path, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=home))
    logs = scratch / "logs"
    logs.mkdir()
    try:
        with running_servers(home, logs) as servers:
            bench = Bench(servers=servers, tools=tools, sizes=sizes, scratch=scratch, logs=logs)
            about = {
                "machine": machine.machine(),
                "versions": machine.versions(servers, tools),
                "servers": machine.server_settings(),
            }
            for work in works:
                began = time.monotonic()
                print(f"{work.title} ({work.name})", flush=True)
                missing = [contender.name for contender in work.contenders if not can_run(contender, tools)]
                if missing:
                    print(f"  not here, for want of what they need: {', '.join(missing)}", flush=True)
                contenders = measure(work, bench, say=lambda line: print(line, flush=True))
                now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
                save(result_of(work, contenders, measured_at=now, sizes=sizes, **about), results)
                print(f"  took {time.monotonic() - began:.0f} s", flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _parser(works: Sequence[Work]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [work.name for work in works]
    parser.add_argument("--only", nargs="+", choices=names, metavar="WORK", help="some of the works; --list names them")
    parser.add_argument("--list", action="store_true", help="name all works")
    parser.add_argument("--runs", type=int, help="of each contender (5)")
    parser.add_argument("--large", action="store_true", help="the works with 10,000,000 jobs there already")
    parser.add_argument("--small", action="store_true", help="only see that all of it works; the figures say nothing")
    parser.add_argument("--without-rivals", action="store_true", help="install nothing: Jobledger and the limits alone")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where the results are written")
    parser.add_argument("--page", type=Path, default=_PAGE, help="the page whose tables are made from the results")
    parser.add_argument("--link", default="../benchmarks/results", help="how the page refers to the plots")
    parser.add_argument(
        "--home", type=Path, default=HERE / ".data", help="the servers' data, on a disk that is to be measured"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
