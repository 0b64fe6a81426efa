"""Exit codes: one table for every command, so that a script need not know which one it called."""

from __future__ import annotations

DONE = 0
"""Done, promoted, aligned."""
ERROR = 1
"""An error, could not look, or bad usage."""
NO = 2
"""The answer is no: reverted, a check refuses, drift."""
PERSON = 3
"""A person is needed: held, stuck, an approval."""
NOT_ALLOWED = 4
"""Not allowed."""
INTERRUPTED = 130
UNREAD = 141
"""Who read what it prints left: what a shell says of a command that SIGPIPE ended."""

TABLE = """\
exit codes, the same for every command:
  0    done, promoted, aligned
  1    an error, could not look, or bad usage
  2    the answer is no: reverted, a check refuses, drift
  3    a person is needed: held, stuck, an approval
  4    not allowed
  130  interrupted
  141  who read its output left"""
