"""`minipost data`: what is in a file, what is wrong with it, and how a model will see it.

    minipost data train.jsonl                                  format, counts, and a few rows as tokens
    minipost data train.jsonl --against test.jsonl             no prompt may be in both
    minipost data train.jsonl --skip-bad --out good.jsonl      go on without the bad rows, which a report lists
    minipost data pairs.jsonl --tokenizer runs/sft --json      by a model's own tokens; for scripts

Bad rows end the command with exit code 2, and the first ten of them are listed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import IO, Annotated, Any

import tyro
from rich.console import Console
from rich.text import Text as Line

from minipost.config import parse
from minipost.data import Comparison, DataError, Problem, Read, Reader, RowError
from minipost.data.problems import SHOWN, dropped_line
from minipost.data.reader import PLAIN
from minipost.data.stats import Survey, asked
from minipost.data.tokens import contents
from minipost.files import TOKENIZER, atomic
from minipost.text import Tokenizer, indented, load_tokenizer
from minipost.text.batching import Example

SAMPLE = 2_000_000  # characters on which a tokenizer is trained where none is given
LONGEST = 240  # tokens of an example that are shown

HELP = """Examine data: detect its format, check every row, count, and show rows as a model will see them.

Examples:
  minipost data train.jsonl
  minipost data train.jsonl --against test.jsonl
  minipost data train.jsonl --skip-bad --out good.jsonl
  minipost data pairs.jsonl --tokenizer runs/sft --json"""


@dataclass(frozen=True)
class DataConfig:
    files: Annotated[tuple[Path, ...], tyro.conf.Positional]  # JSONL, a JSON array, or a .txt file
    format: str | None = None  # name of the format, instead of detecting it
    tokenizer: Path | None = None  # run folder whose tokenizer counts; default: one trained on the file itself
    context: int = 256  # tokens; what is longer is cut
    against: Path | None = None  # a file with which no prompt may be shared, e.g. the test set
    skip_bad: bool = False  # go on without bad rows, and write down what was dropped
    dropped: Path = Path("dropped.jsonl")  # where that is written
    out: Path | None = None  # write the good rows into a new JSONL file
    strict: bool = False  # warnings are errors
    show: int = 3  # rows to show as tokens
    json: bool = False  # print the summary as JSON


def check(config: DataConfig) -> None:
    """Refuse what cannot be meant, before anything is read or written. Errors: `UserError`."""
    if not config.files:
        raise DataError("Name at least one file: minipost data FILE.")
    if config.context < 1:
        raise DataError(f"--context {config.context} must be at least 1.")
    outputs = [path for path in (config.out, config.dropped if config.skip_bad else None) if path is not None]
    inputs = {path.resolve() for path in (*config.files, *([config.against] if config.against else []))}
    for path in outputs:
        if path.resolve() in inputs:
            raise DataError(f"{path} is one of the files to read; write to another.")
    if config.out is not None and (config.out.exists() or any(path.suffix == ".txt" for path in config.files)):
        why = "exists already" if config.out.exists() else "would hold rows, and a .txt file has none"
        raise DataError(f"--out {config.out} {why}; name another file.")


def examine(config: DataConfig) -> list[dict[str, Any]]:
    """Check and describe every file; returns the summaries. Errors: `DataError` for bad rows, unless skipped."""
    check(config)
    taken = prompts_of(config.against, config.format) if config.against else None
    failures, summaries = [], []
    with ExitStack() as stack:

        def writing(path: Path) -> IO[str]:  # a file that is there when all went well, and not at all otherwise
            return stack.enter_context(stack.enter_context(atomic(path)).open("w", encoding="utf-8"))

        good = writing(config.out) if config.out else None
        bad = writing(config.dropped) if config.skip_bad else None
        for path in config.files:
            summary, survey = describe(path, config, taken, good, bad)
            summaries.append(summary)
            if not config.json:
                show(summary, survey, config)
            failures += [summary["message"]] if summary["bad"] and not config.skip_bad else []
            failures += [f"{path}: {warning}" for warning in summary["warnings"]] if config.strict else []
        if config.json:
            print(json.dumps({"files": summaries, "ok": not failures}, indent=2, ensure_ascii=False))
        if failures:
            raise DataError("\n".join(failures))
    return summaries


def describe(
    path: Path, config: DataConfig, taken: frozenset[int] | None, good: IO[str] | None, bad: IO[str] | None
) -> tuple[dict[str, Any], Survey]:
    """(summary, survey) of one file; good and bad rows are written as they go by."""
    tokenizer = load_tokenizer(config.tokenizer / TOKENIZER) if config.tokenizer else trained_on(path, config)

    def leaked(read: Read) -> RowError | None:
        if taken is None or asked(read.record) not in taken:
            return None
        what = f"its prompt is in {config.against} too"
        return RowError("leakage", "prompt", contents(read.record)[0][1], what, "keep it in one of the two files")

    def drop(problem: Problem, value: Any) -> None:
        if bad is not None:
            bad.write(dropped_line(problem, value))

    reader = Reader(path, config.format, tokenizer, config.context, on_bad=drop, accept=leaked)
    survey = Survey(tokenizer, show=config.show)
    for read in reader:
        survey.add(read)
        if good is not None:
            good.write(json.dumps(read.row.value, ensure_ascii=False) + "\n")
    if reader.ledger.bad == reader.ledger.rows and config.skip_bad:
        raise DataError(f"{path}: {reader.ledger.message()}\nNo row is left.")
    ledger, plain = reader.ledger, reader.detected is PLAIN
    summary = {
        "path": str(path),
        "format": reader.detected.name if reader.detected else None,
        "rows": 1 if plain else ledger.rows,  # a plain text is one document, in however many pieces it was read
        "bad": ledger.bad,
        "kinds": dict(ledger.kinds),
        "problems": [problem.to_dict() for problem in ledger.first],
        "turns": {str(n): count for n, count in sorted(survey.turns.items())},
        "vocabulary": len(tokenizer),
        "context": config.context,
        "tokens": survey.tokens(),
        "truncated": survey.cut,
        "duplicates": len(duplicates := [] if plain else survey.duplicates()),
        "swapped": len(swapped := survey.swapped()),
        "ignored": dict(reader.ignored),
        "warnings": warnings(reader, survey, duplicates, swapped, config.context),
        "message": f"{path}: {ledger.message()}" if ledger.bad else "",
    }
    return summary, survey


def warnings(reader: Reader, survey: Survey, duplicates: list[int], swapped: list[int], context: int) -> list[str]:
    """What is allowed but seldom meant."""
    sentences = []
    if swapped:
        sentences.append(f"{len(swapped):,} comparisons are there both ways round, (A, B) and (B, A): {lines(swapped)}")
    if duplicates:
        sentences.append(f"{len(duplicates):,} rows repeat an earlier one: {lines(duplicates)}")
    if survey.cut:
        sentences.append(f"{survey.cut:,} responses do not fit into {context} tokens and are cut, without an end token")
    if reader.ignored:
        keys = ", ".join(f"{name} ({count:,} rows)" for name, count in reader.ignored.most_common(SHOWN))
        sentences.append(f"keys that no format knows are ignored: {keys}")
    if reader.spelled:
        sentences.append(f"{reader.spelled:,} texts spell the name of a special token; to the model it is plain text")
    return sentences


def lines(numbers: Sequence[int]) -> str:
    """ "lines 3, 5, ..." """
    more = ", ..." if len(numbers) > SHOWN else ""
    return f"line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:SHOWN]))}{more}"


def prompts_of(path: Path, form: str | None) -> frozenset[int]:
    """Fingerprints of a file's prompts. Its own bad rows are not at issue here: they are passed over."""
    return frozenset(asked(read.record) for read in Reader(path, form))


def trained_on(path: Path, config: DataConfig) -> Tokenizer:
    """A tokenizer trained on the file's beginning."""
    texts: list[str] = []
    size = 0
    for read in Reader(path, config.format):
        parts = [text for _, text in contents(read.record)]
        texts += parts
        size += sum(map(len, parts))
        if size > SAMPLE:
            break
    return Tokenizer.train(map(indented, texts), 2048)


# ------------------------------------------------------------------------------------------------------------ display
def show(summary: dict[str, Any], survey: Survey, config: DataConfig) -> None:
    """The summary and a few rows, for people."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(Line(f"{summary['path']}", style="bold"), Line(f" {summary['format'] or 'no format recognised'}"))
    good = summary["rows"] - summary["bad"]
    console.print(f"  rows       {good:,} good, {summary['bad']:,} bad{' and dropped' if config.skip_bad else ''}")
    if summary["turns"]:
        console.print("  turns      " + ", ".join(f"{n} ({count:,} rows)" for n, count in summary["turns"].items()))
    tokens = summary["tokens"]
    if tokens["examples"]:
        origin = config.tokenizer or "a tokenizer trained on this file"
        low, median, high = tokens["quartiles"]
        console.print(f"  tokens     {tokens['total']:,} in {tokens['examples']:,} examples, by {origin}")
        console.print(f"  lengths    {tokens['min']} least, {low} | {median} | {high} quartiles, {tokens['max']} most")
        bins = {} if summary["format"] == PLAIN.name else tokens["histogram"]
        most = max(bins.values(), default=0)
        for upper, count in bins.items():
            bar = "█" * round(32 * count / most) or ("▏" if count else "")
            console.print(f"    <= {upper:>7,} {bar} {count:,}")
    for warning in summary["warnings"]:
        console.print(Line(f"  warning    {warning}", style="yellow"))
    if survey.kept:
        console.print(Line("  as tokens, cut by |, those that are learnt in [ ]:", style="dim"))
    for read in survey.kept:
        names = (" chosen", " rejected") if isinstance(read.record, Comparison) else repeat("")
        for name, example in islice(zip(names, read.examples, strict=False), 3):
            place = f"  line {read.row.line}{name}: ", "dim"
            console.print(Line.assemble(place, coloured(example, survey.tokenizer)))
    console.print()


def coloured(example: Example, tokenizer: Tokenizer) -> Line:
    """An example's tokens: the prompt's dim, the response's green and in brackets, so that it reads without colour."""
    line = Line()
    prompt, response = list(example.prompt), list(example.response)
    skipped = max(0, len(prompt) + len(response) - LONGEST)
    line.append("|".join(spelled(i, tokenizer) for i in prompt[:LONGEST]), style="dim")
    if response:
        shown = "|".join(spelled(i, tokenizer) for i in response[: max(1, LONGEST - len(prompt))])
        line.append("[", style="bold").append(shown, style="green").append("]", style="bold")
    return line.append(f" ... {skipped:,} more tokens" if skipped else "", style="dim")


def spelled(token: int, tokenizer: Tokenizer) -> str:
    """A token as it can be seen: ends of lines and odd bytes are escaped."""
    names = {i: name for name, i in tokenizer.specials.items()}
    if token in names:
        return names[token]
    raw = tokenizer.token_bytes[token]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in raw)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def command(argv: Sequence[str]) -> int:
    """`minipost data`."""
    config = parse(DataConfig, argv, "minipost data", HELP)
    summaries = examine(config)
    if config.skip_bad and (dropped := sum(summary["bad"] for summary in summaries)):
        print(f"{dropped:,} bad rows were dropped; {config.dropped} says which and why.", file=sys.stderr)
    return 0
