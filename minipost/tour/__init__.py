"""The tour on a user's own data, where nobody knows the true utility of an answer.

Read in this order: `plan` (what is asked for, and what the stages are told), `measures` (what can be said without a
truth), `tour` (the story from files to report).
"""

from __future__ import annotations
