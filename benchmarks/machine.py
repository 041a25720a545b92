"""On what it was measured: the machine, the versions of everything, what is here of the working tree."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import psutil

from benchmarks.servers import POSTGRES_SETTINGS, Servers
from benchmarks.tools import HERE, Tools

_PYTHON_PARTS = ("jobledger", "litestar", "msgspec", "psycopg", "redis", "uvicorn", "uvloop")


def machine() -> dict[str, str]:
    """Nothing by which the machine could be told from another one of its kind."""
    return {
        "processor": f"{psutil.cpu_count()} × {_processor()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}, {platform.machine()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def versions(servers: Servers, tools: Tools) -> dict[str, str]:
    ours = {name: importlib.metadata.version(name) for name in _PYTHON_PARTS}
    return {"commit": commit(), "Python": platform.python_version(), **ours, **servers.versions(), **tools.versions()}


def server_settings() -> dict[str, str]:
    return {
        "PostgreSQL": "fsync, synchronous_commit and full_page_writes on; "
        + ", ".join(f"{name} {value}" for name, value in POSTGRES_SETTINGS.items()),
        "Valkey": "appendonly yes, appendfsync everysec",
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "..", ":!results", ":!../docs")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (" with changes" if changed else "")
