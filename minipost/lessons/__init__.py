"""What lessons are made with: `show`, `say`, `table` and `source_of` for their text, pages and exercises for the rest.

A lesson is a folder `lessons/NN_name/`. Its `lesson.py` is the only source: a plain script, which Jupytext opens as a
notebook, and from which one execution makes the page. The tools are part of the package, and not scripts beside the
lessons, so that they are typed and tested like the rest and `minipost exercise` works wherever minipost is installed.
"""

from minipost.lessons.exercises import Check, Property
from minipost.lessons.telling import say, show, source_of, table

__all__ = ["Check", "Property", "say", "show", "source_of", "table"]
