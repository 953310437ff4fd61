"""What is built is what is needed: wheel and sdist hold their files, and the wheel runs outside of the checkout."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("build") is None, reason="the package build is not installed"),
]


def call(*argv: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run([sys.executable, *map(str, argv)], cwd=cwd, env={**os.environ, **env}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    call("-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


def test_the_sdist_is_the_project(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    for name in ("pyproject.toml", "README.md", "LICENSE", "docs/laws.md", "tests/test_packaging.py", ".ci/run"):
        assert name in names
    assert not [name for name in names if name.startswith(("runs/", ".git/", "dist/"))]


def test_the_wheel_is_the_package_alone(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = [path for path in (ROOT / "minipost").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    sources = {path.relative_to(ROOT).as_posix() for path in files}
    assert {"minipost/cli.py", "minipost/py.typed", "minipost/report/page.css"} <= sources
    assert sources <= names  # tables, style sheets and all
    assert {name.split("/")[0].split("-")[0] for name in names} == {"minipost"}


def test_the_lessons_commands_say_where_to_get_them(built: Path, tmp_path: Path) -> None:
    """In a fresh environment with the wheel alone, in an empty folder; inside a checkout they run."""
    (wheel,) = built.glob("*.whl")
    call("-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path / "site", wheel, cwd=tmp_path)
    (tmp_path / "empty").mkdir()
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    for name in ("lesson", "exercise", "claims", "site"):
        command = [sys.executable, "-m", "minipost", name, "--help"]
        outside = subprocess.run(command, cwd=tmp_path / "empty", env=env, capture_output=True, text=True)
        assert (outside.returncode, outside.stdout) == (2, "")
        assert "needs the lessons, which are not part of the installed package; get minipost's source" in outside.stderr
        inside = subprocess.run(command, cwd=ROOT / "docs", env=env, capture_output=True, text=True)
        assert inside.returncode == 0 and inside.stdout.startswith(f"usage: minipost {name}")


def test_the_wheel_runs_outside_of_the_checkout(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    call("-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path / "site", wheel, cwd=tmp_path)
    path = {"PYTHONPATH": str(tmp_path / "site")}
    where = call("-c", "import minipost; print(minipost.__file__)", cwd=tmp_path, **path)
    assert Path(where.strip()).is_relative_to(tmp_path / "site")
    assert call("-m", "minipost", "--help", cwd=tmp_path, **path).startswith("usage: minipost")
    assert "--loss-type" in call("-m", "minipost", "--completion", "bash", cwd=tmp_path, **path)
    call("-m", "minipost", "tour", "--size", "smoke", cwd=tmp_path, **path)
    assert (tmp_path / "runs/tour/report.html").is_file()
