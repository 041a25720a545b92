"""The command `jobledger`."""

from __future__ import annotations

from cyclopts import App

app = App(name="jobledger", help="The job service with a memory.")


def main() -> None:
    """Run the command line."""
    app()
