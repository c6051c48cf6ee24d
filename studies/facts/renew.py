"""Bring results up to date: ``python3 tasks.py renew``.

    renew                       facts, figures, pages, signature, site
    renew --check               report what is out of date or false; nothing is run
    renew evidence --hours H    reproduction, evaluation and atlas; repeat it until all is done

What is up to date is skipped, so an interrupted renewal goes on where it was. doit orders tasks.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain

from benchmarks.__main__ import RESULTS
from lab.behaviour import shipped
from lab.common.errors import InputError
from studies.facts import record, typed, write
from studies.facts.compute import changes, compute, guarded
from studies.facts.record import ROOT, Kept
from studies.facts.sources import SOURCES, words_of
from studies.registry import BEYOND

FILES = {
    "concepts": "python -m studies.concepts",
    "signature": "python -m tests.signature --write",
}
"""Commands whose results are files of the repository, and depend on all behaviour versions."""

SITE = "sphinx-build -W --keep-going -n -q -b html docs docs/_build"
"""Executes notebooks, the course and pages of cells; what they showed is kept by versions."""

EVIDENCE = {
    "reproduction": (
        "compass-lab reproduce all --hours {hours} --out outputs/evidence/reproduction",
        "python -m studies.reproduction outputs/evidence/reproduction",
    ),
    "evaluation": (f"python -m studies {' '.join(BEYOND)}", "python -m studies page"),
    "atlas": (
        "compass-lab atlas --cells 75 --hours {hours} --out outputs/evidence/atlas",
        "python -m studies.atlas outputs/evidence/atlas",
    ),
    "benchmarks": (
        *(f"python -m benchmarks {path.stem} keep" for path in sorted(RESULTS.glob("*.json"))),
        "python -m benchmarks page",
    ),
    "served": (
        "python -m studies.served run --directory outputs/evidence/served",
        "python -m studies.served page --directory outputs/evidence/served",
    ),
}
"""Commands that make evidence, go on from what is done, and write its pages."""

GRACE_S = 600.0
"""Commands that know their hours end by themselves, some time later; others are stopped then."""


def main(words: list[str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(
        "python3 tasks.py renew",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tier", nargs="?", choices=("quick", "evidence"), default="quick")
    parser.add_argument("--check", action="store_true", help="report, and run nothing")
    parser.add_argument("--hours", type=float, default=1.0, help="budget of evidence")
    options = parser.parse_args(words)
    try:
        if options.check:
            return check()
        if options.tier == "evidence":
            return evidence(options.hours)
        return quick()
    except (InputError, OSError) as error:
        print(f"renew: {error}", file=sys.stderr)
        return 2


def check() -> int:
    """Print what is out of date, false, or typed; return 1 if there is any."""
    files = [name for name in FILES if drawn_of(name) != shipped()]
    found = [
        *(f"{name}: is of other behaviour versions" for name in (*record.stale(SOURCES), *files)),
        *write.differences(),
        *typed.numbers(),
    ]
    print(*found, sep="\n", end="\n" if found else "")
    print(f"renew: {len(found)} problems" if found else "renew: all facts are up to date")
    return int(bool(found))


def quick() -> int:
    """Renew what is out of date of the quick tier; print the facts that differ from the commit."""
    status = DoitMain(ModuleTaskLoader(tasks())).run(["run", "--continue", "--verbosity", "2"])
    told = [*changes(record.committed())]
    print(*told or ["renew: no fact has changed"], sep="\n")
    return int(status)


def tasks() -> dict[str, Any]:
    """Return the tasks of the quick tier for doit."""
    settings = {"dep_file": str(ROOT / ".doit.db"), "backend": "sqlite3", "reporter": "console"}

    def task_facts() -> Iterator[dict[str, Any]]:
        for name in SOURCES:
            yield {
                "name": name,
                "actions": [(guarded, [compute, name])],
                "uptodate": [lambda name=name: not record.stale({name: SOURCES[name]})],
            }

    def task_files() -> Iterator[dict[str, Any]]:
        for name, command in FILES.items():
            yield {
                "name": name,
                "actions": [(guarded, [draw, name, command])],
                "uptodate": [lambda name=name: drawn_of(name) == shipped()],
            }

    def task_pages() -> Iterator[dict[str, Any]]:
        for path in write.pages():
            yield {
                "name": str(path.relative_to(ROOT)),
                "actions": [(guarded, [write.write, path])],
                "task_dep": ["facts"],
                "uptodate": [False],
            }

    def task_site() -> dict[str, Any]:
        return {
            "actions": [(guarded, [call, SITE])],
            "task_dep": ["pages", "files"],
            "uptodate": [False],
        }

    return {
        "DOIT_CONFIG": settings,
        "task_facts": task_facts,
        "task_files": task_files,
        "task_pages": task_pages,
        "task_site": task_site,
    }


def draw(name: str, command: str) -> None:
    """Run a command whose results are files; keep of which versions they are.

    Raises:
        InputError: the command fails.
    """
    call(command)
    record.keep(name, Kept({"behaviour": shipped()}))


def drawn_of(name: str) -> object:
    """Return the behaviour versions of files that were drawn."""
    kept = record.read().get(name)
    return kept.key["behaviour"] if kept else None


def call(command: str, limit_s: float | None = None) -> None:
    """Run a command in the checkout.

    Raises:
        InputError: it fails.
        subprocess.TimeoutExpired: the time is over.
    """
    try:
        subprocess.run(words_of(command), cwd=ROOT, check=True, timeout=limit_s)
    except subprocess.CalledProcessError as error:
        raise InputError(f"{command}: exit status {error.returncode}") from None


def evidence(hours: float) -> int:
    """Renew the evidence within a budget; what is done is kept, and is skipped the next time."""
    end_s = time.monotonic() + 3600 * hours
    for name, commands in EVIDENCE.items():
        if drawn_of(name) == shipped():
            continue
        for command in commands:
            left_s = end_s - time.monotonic()
            try:
                call(command.format(hours=left_s / 3600), left_s + GRACE_S)
            except subprocess.TimeoutExpired:
                left_s = 0
            if left_s <= 0 or time.monotonic() >= end_s:
                print(f"renew: the hours are over at {name}; the same command goes on from there")
                return 1
        record.keep(name, Kept({"behaviour": shipped()}))
    print("renew: the evidence is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
