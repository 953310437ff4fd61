"""Pictures for lessons: one function a question, each returning a Matplotlib figure in the house's style.

Every function takes plain numbers and strings. It draws on `ax` if the caller passes one, else it makes a new figure.
Colour is never the only sign: what differs also differs in hatch, marker, line or label.
"""

from lessons.tools.pictures.graphs import tape_graph
from lessons.tools.pictures.numbers import curve, heat, histogram_pair, sweep
from lessons.tools.pictures.objectives import clip_regions
from lessons.tools.pictures.sequences import attention_map, token_timeline

__all__ = ["attention_map", "clip_regions", "curve", "heat", "histogram_pair", "sweep", "tape_graph", "token_timeline"]
