"""The one kind of error that is addressed to the person at the keyboard.

Whatever a user can cause (a wrong flag, a broken file, a folder that is in use) is raised as a `UserError` whose text
is one sentence: what is wrong, where, and how to fix it. The command line prints that sentence without a traceback and
exits with 2; any other exception is a bug of ours and keeps its traceback.
"""

from __future__ import annotations


class UserError(ValueError):
    """Something that the user can fix; its text is one sentence that says how."""
