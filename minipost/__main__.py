"""`python -m minipost` is the `minipost` command."""

from __future__ import annotations

import sys

from minipost.cli import main

if __name__ == "__main__":
    sys.exit(main())
