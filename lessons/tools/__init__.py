"""What lessons are made with: `show`, `say`, `table` and `source_of` for their text, pages and exercises for the rest.

A lesson is a folder `lessons/NN_name/`. Its `lesson.py` is the only source: a plain script, which Jupytext opens as a
notebook, and from which one execution makes the page. The tools are modules, and not scripts beside the lessons, so
that they are typed and tested like the rest.
"""

from lessons.tools.display import say, show, source_of, table
from lessons.tools.exercises import Check, Property

__all__ = ["Check", "Property", "say", "show", "source_of", "table"]
