"""The tools of lessons: `show`, `say`, `table` and `source_of` for their output; pages, exercises, pictures, the site.

A lesson is a folder `lessons/NN_name/`. Its `lesson.py` is the only source: a plain script, which Jupytext opens as a
notebook; one execution of it makes the page. The tools are modules and not scripts, so that they are typed and tested
like the package.
"""

from lessons.tools.display import say, show, source_of, table
from lessons.tools.exercises import Check, Property

__all__ = ["Check", "Property", "say", "show", "source_of", "table"]
