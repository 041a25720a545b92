"""Servers out of Python wheels, as foreground child processes: how they are prepared, started and asked. No supervision."""
