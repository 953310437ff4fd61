"""Writes the table in `docs/laws.md`: every law with a number, what it says, and where it is checked.

python tests/laws/law_numbers.py

Laws of a single loss are those of `minipost laws`. The others stand here, in `ELSEWHERE`, with their sentence: they
speak of a whole model or run, or of expectations that only an enumerable world has. A test checks the laws that its
name cites (`test_P50_a_resumed_run_...`), a function of `minipost.laws.whole_model` those that open its docstring.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from pathlib import Path
from types import FunctionType

from minipost.laws import whole_model
from minipost.laws.law import LAWS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "laws.md"
BEGIN = "<!-- Written by tests/laws/law_numbers.py; a test fails when this table is not what it writes. -->\n\n"
END = "\n<!-- end of the table -->\n"

ELSEWHERE = {  # number: (in words, in symbols)
    11: (
        "packed into one row, texts have the loss and the gradient that they have alone",
        "L(pack(a, b)) = L(a) + L(b)",
    ),
    12: ("what stands before a document in its row never moves it", "dL_b/dtheta is the same after any a"),
    13: ("the end token is supervised, even where pads have its id", "m = 1 at the end token of each response"),
    24: ("a score depends neither on batch mates nor on padding", "r(x in any batch) = r(x)"),
    25: (
        "fitted to a population's choices, rewards are its utilities up to a constant in each connected component",
        "argmin_r E L = u + c",
    ),
    45: ("entropy lies between 0 and log V, and is flat at the uniform policy", "0 <= H <= log V; dH = 0 at p = 1/V"),
    46: (
        "the adaptive KL coefficient rests at its target, and moves the right way by a bounded step",
        "beta' = beta (1 + clip(KL / target - 1, +-0.2) n / horizon)",
    ),
    48: (
        "whether a response has ended is read from the response alone; a penalty is subtracted or replaces the score",
        "score - penalty, or -penalty",
    ),
    50: ("a run that was interrupted and resumed ends in the bytes of one that was not", "resume(cut(run)) = run"),
    55: (
        "the KL of sequences is the expected sum of the exact KLs of their tokens",
        "KL(pi || ref) = E_pi sum_t KL(pi_t || ref_t)",
    ),
    69: (
        "the best policy for reward less KL reweighs the reference, and DPO on exact preferences has its optimum there",
        "pi* = ref exp(r / beta) / Z; max J = beta log Z; beta log(pi* / ref) = r - beta log Z",
    ),
    70: (
        "the reference never changes: its log-probabilities can be computed before training",
        "log ref before = log ref after",
    ),
    76: (
        "best-of-n beats a draw of the base at most n times in n + 1, where ties count half",
        "P(best > base) + P(best = base) / 2 <= n / (n + 1)",
    ),
    84: ("on-policy the loss of centred advantages is near 0, and its gradient is not", "L = 0, dL != 0 at rho = 1"),
    85: ("the gradient of RLOO is unbiased", "E g = dJ/dtheta, summed over every possible rollout"),
}


def numbers_in(text: str) -> set[int]:
    """Every law number that a text cites; `P36-P40` cites five."""
    cited = r"(?<![A-Za-z0-9])P([1-9]\d?)(?:-P([1-9]\d?))?(?![A-Za-z0-9])"
    return {n for first, last in re.findall(cited, text) for n in range(int(first), int(last or first) + 1)}


def citations() -> dict[int, set[str]]:
    """number -> the files of the package, the tests, the pages and the lessons that cite it, but for the table."""
    files: dict[int, set[str]] = {}
    for folder in ("minipost", "tests", "docs", "lessons"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".md") and path != PAGE:
                for number in numbers_in(path.read_text(encoding="utf-8")):
                    files.setdefault(number, set()).add(path.relative_to(ROOT).as_posix())
    return files


@cache
def checks() -> dict[int, list[str]]:
    """number -> the functions on whole models and the test files that check it."""
    where: dict[int, list[str]] = {}
    for name, function in vars(whole_model).items():
        if isinstance(function, FunctionType) and not name.startswith("_"):
            for number in numbers_in((inspect.getdoc(function) or "").partition(":")[0]):
                where.setdefault(number, []).append(f"minipost.laws.whole_model.{name}")
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        names = re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        for number in sorted({n for name in names for n in numbers_in(name.replace("_", " "))}):
            where.setdefault(number, []).append(path.relative_to(ROOT).as_posix())
    return where


def rows() -> list[tuple[int, str, str, list[str]]]:
    """(number, in words, in symbols, where it is checked), a row for each way in which a law is said."""
    said: dict[tuple[int, str, str], list[str]] = {(number, *words): [] for number, words in ELSEWHERE.items()}
    for law in LAWS:
        said.setdefault((int(law.name[1:]), law.says, law.formula), []).append(law.target)
    elsewhere, table = dict(checks()), []
    for (number, says, formula), targets in sorted(said.items(), key=lambda row: row[0][0]):
        table.append((number, says, formula, targets + elsewhere.pop(number, [])))
    return table


def written() -> str:
    """The table as Markdown."""
    lines = ["| Law | In words | In symbols | Checked by |", "|-|-|-|-|"]
    for number, says, formula, where in rows():
        symbols = formula.replace("|", "\\|")
        lines.append(f"| P{number} | {says} | `{symbols}` | {', '.join(f'`{place}`' for place in where)} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """docs/laws.md with the table as it should be."""
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + begin + written() + end + after


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
