"""Build the site (`python -m lessons site`, `minipost site`); `--open` shows it on this machine.

The pages are plain files: they can also be opened without a server, and nothing on them asks the network.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

from lessons.tools.folders import lessons_folder
from minipost.errors import UserError

EXAMPLES = """examples:
  {prog}                          write build/site/index.html and all that it needs
  {prog} --open                   build it and show it in a browser, on this machine only
  {prog} --out other --strict     exit with 1 after a warning, as continuous integration does

Needs a checkout, installed with pip install -e ".[site]"."""
NEEDED = ("sphinx", "myst_parser", "furo", "latex2mathml")
MARK = ".buildinfo"  # Sphinx writes it: a folder that has it is a site, and may be replaced


class SiteError(UserError):
    """A site that cannot be built, for a reason that the user can remove."""


def command(argv: Sequence[str], prog: str = "minipost site") -> int:
    """`minipost site [--out DIR] [--strict] [--open] [--port N]`; the help uses the name `prog`."""
    args = parser(prog).parse_args(list(argv))
    warnings = build(args.out)
    print("\n".join(warnings), file=sys.stderr, end="\n" if warnings else "")
    print(args.out / "index.html")
    if args.strict and warnings:
        print(f"{prog}: {len(warnings)} warnings.", file=sys.stderr)
        return 1
    if args.open:
        serve(args.out, args.port)
    return 0


def parser(prog: str = "minipost site") -> argparse.ArgumentParser:
    """The arguments of `minipost site` and of `python -m lessons site`."""
    parser = argparse.ArgumentParser(
        prog,
        description="Lessons, claims, laws and API as a site that works offline.",
        epilog=EXAMPLES.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("build/site"), help="where to write it (build/site)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if the build warns of anything")
    parser.add_argument("--open", action="store_true", help="serve it on 127.0.0.1 until Ctrl-C, and open a browser")
    parser.add_argument("--port", type=int, default=0, help="the port for --open (0: any that is free)")
    return parser


def build(out: Path) -> list[str]:
    """Build the site into `out`, which is replaced if it is a site; return the warnings.

    Errors: `SiteError` without the extra, outside of a checkout, or if `out` holds something else.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SiteError(f"Building the site needs {', '.join(missing)}: pip install 'minipost[site]'.")
    root = lessons_folder().parent
    if not (root / "docs" / "site" / "conf.py").is_file():
        raise SiteError(f"{root} has no docs/site/conf.py; run this inside a checkout of minipost.")
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file()):
        raise SiteError(f"{out} exists and is no site; choose another --out, or empty it.")
    from sphinx.application import Sphinx
    from sphinx.util.console import nocolor

    from lessons.tools.site.extension import plays
    from lessons.tools.site.sources import assemble

    nocolor()
    warnings = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        tree, made = Path(folder) / "sources", Path(folder) / "html"
        tree.mkdir()
        assemble(root, tree, plays())
        app = Sphinx(tree, tree, made, Path(folder) / "doctrees", "html", status=None, warning=warnings)
        app.build()
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, out)
        text = warnings.getvalue().replace(f"{tree}/", "")
    return [line for line in text.splitlines() if line.strip()]


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of these files, for this machine alone."""
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(Quiet, directory=str(folder)))
    except (OSError, OverflowError) as error:
        raise SiteError(f"Cannot listen on port {port} ({error}); choose another --port, or 0 for any.") from None


def serve(folder: Path, port: int = 0) -> None:
    """Serve and open the site until Ctrl-C."""
    with server(folder, port) as running:
        address = f"http://127.0.0.1:{running.server_port}/"
        print(f"{address} (Ctrl-C ends it)", flush=True)
        webbrowser.open(address)
        running.serve_forever()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and does not print every request."""

    def log_message(self, format: str, *args: object) -> None:
        pass
