"""Data that users bring: detected, checked, and turned into what the stages learn from."""

from __future__ import annotations

from minipost.data.formats import FORMATS, Format
from minipost.data.load import OnDisk, comparisons, demonstrations, prompts, texts
from minipost.data.problems import DataError, Ledger, Problem, RowError
from minipost.data.reader import Read, Reader
from minipost.data.records import Comparison, Demonstration, Prompt, Record, Scored, Text, Turns, Verdict

__all__ = [
    "FORMATS",
    "Comparison",
    "DataError",
    "Demonstration",
    "Format",
    "Ledger",
    "OnDisk",
    "Problem",
    "Prompt",
    "Read",
    "Reader",
    "Record",
    "RowError",
    "Scored",
    "Text",
    "Turns",
    "Verdict",
    "comparisons",
    "demonstrations",
    "prompts",
    "texts",
]
