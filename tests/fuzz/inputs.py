"""Runs inputs of the grammar, and judges what the commands make of them.

    PYTHONPATH=tests python tests/fuzz/inputs.py --count 2000          all cases of a seed
    PYTHONPATH=tests python tests/fuzz/inputs.py --seed 3 --number 17  one case, with its files

A command ends with status 0 and a complete result, which is the same when it is run again; or with
status 2 and one sentence. Each takes less than a limit.
"""

import argparse
import faulthandler
import gc
import re
import shlex
import shutil
import sys
import time
from _thread import interrupt_main
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from unicodedata import category

import polars as pl
from bad_inputs.runner import run
from grammar import BASE, TABLES, Case, case

LIMIT_S = 60.0
MOST_SAID = 2_000
SENTENCE = re.compile(r"(compass-sim|compass-lab( [a-z-]+)?): \S.*")
SETTLED = (0, 2)
Answered: Counter[str] = Counter()
"""How often each part of the grammar was answered by each status."""


def judged(given: Case, directory: Path, finished: Path, limit_s: float = LIMIT_S) -> str:
    """Run a case in a new directory; return what is wrong, or an empty text.

    Args:
        given: the case.
        directory: a directory that does not exist yet.
        finished: the results of a finished run, for cases that need them.
        limit_s: how long a command may take.
    """
    _prepare(given, directory, finished)
    status, said, took_s = _timed(given.command, directory, limit_s)
    Answered[f"{given.kind}: status {status}"] += 1
    if took_s > limit_s:
        return f"took {took_s:.0f} s"
    if wrong := _said_wrong(status, said):
        return wrong
    if status == 0 and "hydra.run.dir=here" in given.command and not given.results:
        first = _contents(directory / "here")
        if wrong := _incomplete(directory / "here"):
            return wrong
        shutil.rmtree(directory)
        _prepare(given, directory, finished)
        again, said, _ = _timed(given.command, directory, limit_s)
        if again or _contents(directory / "here") != first:
            return f"other results when it is run again (status {again}): {said[-300:]}"
    return ""


def _prepare(given: Case, directory: Path, finished: Path) -> None:
    directory.mkdir()
    if given.results:
        shutil.copytree(finished, directory / "here")
    for name, data in {**given.files, **given.spoil}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(data)


def _timed(command: tuple[str, ...], directory: Path, limit_s: float) -> tuple[int, str, float]:
    """Run a command; interrupt it at the limit. Where that is in vain, say where it hangs."""
    faulthandler.dump_traceback_later(5 * limit_s, exit=True, file=sys.__stderr__)
    interrupt = Timer(limit_s, interrupt_main)
    interrupt.start()
    begun = time.monotonic()
    try:
        status, _, said = run(list(command), directory)
    except KeyboardInterrupt:
        status, said = 130, "interrupted"
    finally:
        interrupt.cancel()
        faulthandler.cancel_dump_traceback_later()
    return status, said, time.monotonic() - begun


def _said_wrong(status: int, said: str) -> str:
    if "Traceback" in said:
        return f"a traceback: {said[-600:]}"
    if status not in SETTLED:
        return f"status {status}: {said[-600:]}"
    *_, last = said.strip().splitlines() or [""]
    wrong = ""
    if status == 2 and len(said) > MOST_SAID:
        wrong = f"a message of {len(said):,} characters: {said[:300]}"
    elif status == 2 and any(category(each) in ("Cc", "Cs") for each in said.replace("\n", "")):
        wrong = f"control characters: {said[:600]!r}"
    elif status == 2 and not SENTENCE.fullmatch(last):
        wrong = f"no sentence: {said[:600]!r}"
    return wrong


def _incomplete(directory: Path) -> str:
    """Return what a finished run's directory lacks."""
    summaries = list(directory.rglob("summary.json"))
    if not summaries:
        return "status 0 without a summary"
    for name in TABLES[:-1]:
        for parent in {path.parent for path in summaries if (path.parent / "queries").exists()}:
            parts = sorted((parent / name).glob("part-*.parquet"))
            if not parts:
                return f"status 0 without a table {name}"
            pl.concat([pl.read_parquet(part) for part in parts])
    return "" if list(directory.rglob("config.yaml")) else "status 0 without config.yaml"


def _contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.suffix in (".parquet", ".yaml")
    }


def finished_run(directory: Path) -> Path:
    """Make a run whose results cases spoil; return its directory."""
    words = ["compass-sim", *BASE, "requests=true", "hydra.run.dir=here"]
    directory.mkdir()
    status, _, said = run(words, directory)
    assert status == 0, said
    return directory / "here"


def described(seed: int, number: int, given: Case, wrong: str) -> str:
    """Return what a failure needs to be repeated."""
    lines = [
        f"{given.kind}: {wrong}",
        f"  PYTHONPATH=tests python tests/fuzz/inputs.py --seed {seed} --number {number}",
        f"  {shlex.join(given.command)[:MOST_SAID]}",
    ]
    for name, data in {**given.files, **given.spoil}.items():
        if given.kind != "application":
            lines.append(f"  {name}: {None if data is None else data[:MOST_SAID]!r}")
    return "\n".join(lines)


def failures(seed: int, numbers: range, root: Path, limit_s: float = LIMIT_S) -> list[str]:
    """Run cases; return a description of each failure."""
    finished = finished_run(root / "finished")
    found = []
    for number in numbers:
        given = case(seed, number)
        wrong = judged(given, root / "case", finished, limit_s)
        shutil.rmtree(root / "case", ignore_errors=True)
        if number % 50 == 49:  # Each command freezes the garbage of the ones before it.
            gc.unfreeze()
            gc.collect()
        if wrong:
            found.append(described(seed, number, given, wrong))
            print(found[-1], end="\n\n", flush=True)
    return found


def main() -> int:
    """Run cases as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--number", type=int, help="only this case, in ./case")
    given = parser.parse_args()
    if given.number is not None:
        one = case(given.seed, given.number)
        shutil.rmtree("case", ignore_errors=True)
        with TemporaryDirectory() as temporary:
            finished = finished_run(Path(temporary, "finished").resolve())
            wrong = judged(one, Path("case").resolve(), finished)
        print(described(given.seed, given.number, one, wrong))
        return 1 if wrong else 0
    with TemporaryDirectory() as temporary:
        found = failures(given.seed, range(given.count), Path(temporary).resolve())
    print(f"{len(found)} of {given.count} cases fail; {dict(sorted(Answered.items()))}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
