"""One tiny pipeline for all tests of the stages."""

from __future__ import annotations

from pathlib import Path

import nano
import pytest


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline that has run from the web to best-of-n; tests leave its runs alone."""
    folder = tmp_path_factory.mktemp("runs")
    for name, config in nano.configs(folder).items():
        nano.STAGES[name](config)
    return folder
