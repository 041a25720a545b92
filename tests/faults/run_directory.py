"""What a run leaves behind, and where: one directory. The load, the job types, the mail server and the nemesis fill it; the judge
reads it.
"""

from __future__ import annotations

from pathlib import Path


class RunDirectory:
    """The files of one run below `path`, which is made if it is missing. Whoever writes one takes its name from here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.output = path / "output"  # the service's OUTPUT_DIR
        self.tally = path / "tally.jsonl"  # the executions, by fault_jobs.py: set TALLY to it
        self.mails = path / "mails.jsonl"  # what the mail server took: mail_server.py
        self.faults = path / "faults.jsonl"  # what was broken, and when it was healed: faults_log.py
        self.output.mkdir(parents=True, exist_ok=True)

    def requests(self, name: str = "") -> Path:
        """The log of one load; several loads have several names."""
        return self.path / f"requests{'-' if name else ''}{name}.jsonl"

    def all_requests(self) -> list[Path]:
        """The logs of all loads of this run."""
        return sorted(self.path.glob("requests*.jsonl"))
