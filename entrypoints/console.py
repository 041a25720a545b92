"""The console script `jobledger`. It imports nothing before a Ctrl-C can be heard: most of a short command is its imports."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit; 130 (128 + SIGINT, as shells have it) after a Ctrl-C that no command was there to hear."""
    try:
        from entrypoints.cli import main as run_command_line

        run_command_line()
    except KeyboardInterrupt:
        sys.exit(130)
