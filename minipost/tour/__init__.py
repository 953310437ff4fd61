"""The whole pipeline, and what is done with its models: measuring them and talking with them.

Read in this order: `command` (the world or files?), `world` and `files` (the two stories), `plan` (what the stages are
told), `folder` (what a tour leaves behind), `measures` (what is measured of a model). `evaluate` and `chat` are
commands of their own.
"""

from __future__ import annotations
