"""Jobledger against other job systems and against the limits of its parts, side by side on one machine: `make bench`.

Not shipped. What is measured and how to read it: docs/performance.md.
"""
