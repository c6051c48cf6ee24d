"""Keeps a reproduction: ``python -m studies.reproduction DIRECTORY``, which can say ``--restore``.

The directory is one of ``compass-lab reproduce all --hours H --out DIRECTORY``. Its page replaces
that of the docs. What its runs measured replaces the table in ``studies/results/reproduction``,
which has one run per row. Runs that search for causes are not kept, but their outcome is.

With ``--restore``, the kept runs are put into the directory instead, so that the same command goes
on from them on another machine. It can only use runs of its own code, configuration and packages.
"""

import json
import re
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from lab.common.atomic_write import written_aside
from lab.common.errors import InputError
from lab.common.metrics import SLO_MET
from lab.run_cache.jobs import MEASURED, cached
from lab.run_cache.jobs import RUNS as CACHED
from lab.runs.run_directory import SUMMARY, read_summary, write_aside
from lab.runs.summary_shape import NEEDED
from studies.common.cause_search import FILE as CAUSES
from studies.common.effort import Effort
from studies.common.store import RESULTS
from studies.common.study import WHOLE
from studies.registry import FIGURES, NAMES

KEPT = RESULTS / "reproduction"
RUNS = "runs.parquet"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "evidence" / "reproduction"
INDEX, PICTURES = "index.md", "figures"
COMMAND = "compass-lab reproduce all"
"""The command of a whole page; with --hours, its runs are on the reported seeds."""

OF_SUMMARY = (*NEEDED, "versions", SLO_MET.name, MEASURED)
"""The keys of a summary that are kept: those that each must have, and those that the page uses."""

ROW = {"study": pl.String, "run": pl.String, "key": pl.String, "summary": pl.String}
"""Columns of the kept runs: the study, the labels and seed, the key, and `OF_SUMMARY` as JSON."""

OK, REFUSED = 0, 2


def keep(directory: Path) -> str:
    """Keep the page and the runs of a directory; return a sentence on this.

    Raises InputError, and changes nothing, if the directory lacks a whole page, a picture of it, or
    runs of this code.
    """
    try:
        text = (directory / INDEX).read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    if f"`{COMMAND}`" not in text:
        raise InputError(f"{directory}: has no whole page; make it by {COMMAND} --hours H")
    rows = pl.DataFrame([*_runs(directory)], ROW, orient="row").unique(
        "key", keep="first", maintain_order=True
    )
    if rows.is_empty():
        raise InputError(f"{directory}: has no runs of this code; run {COMMAND} --hours H again")
    pictures = sorted(set(re.findall(rf"{PICTURES}/[\w.-]+\.png", text)))
    for picture in pictures:
        if not (directory / picture).exists():
            raise InputError(
                f"{directory / picture}: does not exist; run {COMMAND} --hours H again"
            )
    KEPT.mkdir(parents=True, exist_ok=True)
    with written_aside(KEPT / RUNS) as aside:
        rows.write_parquet(aside)
    (KEPT / CAUSES).unlink(missing_ok=True)
    if (directory / CAUSES).exists():
        shutil.copyfile(directory / CAUSES, KEPT / CAUSES)
    _replace_page(directory, [INDEX, *pictures])
    return f"{len(rows)} runs kept in {KEPT}, and the page in {PAGE}"


def _replace_page(directory: Path, files: list[str]) -> None:
    with TemporaryDirectory(dir=PAGE.parent) as aside:
        for name in files:
            (Path(aside, PAGE.name) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(directory / name, Path(aside, PAGE.name) / name)
        if PAGE.exists():
            PAGE.rename(Path(aside, "before"))
        Path(aside, PAGE.name).rename(PAGE)


def restore(directory: Path) -> str:
    """Put the kept runs into a directory; return a sentence on this.

    Runs that are there stay. Raises InputError if nothing is kept.
    """
    if not (KEPT / RUNS).exists():
        raise InputError(f"{KEPT / RUNS}: does not exist; nothing is kept")
    rows = pl.read_parquet(KEPT / RUNS)
    for key, summary in rows.select("key", "summary").iter_rows():
        run = directory / CACHED / key
        with suppress(OSError, InputError, KeyError):  # It is not there, or damaged.
            read_summary(run)[MEASURED]
            continue
        run.mkdir(parents=True, exist_ok=True)
        write_aside(run / SUMMARY, summary)
    if (KEPT / CAUSES).exists() and not (directory / CAUSES).exists():
        shutil.copyfile(KEPT / CAUSES, directory / CAUSES)
    usable = {key for _, _, key, _ in _runs(directory)}.intersection(rows["key"])
    return f"{len(rows)} runs put into {directory}; this code uses {len(usable)} of them"


def _runs(directory: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield a `ROW` for each finished run of all figures, in the order of the page."""
    studies = {name: FIGURES[number] for number, name in NAMES.items()}
    for part in Effort(studies, WHOLE, directory).parts:
        for job in part.jobs:
            if cached(job, directory) is not None:
                summary = read_summary(directory / CACHED / job.key)
                kept = {name: summary[name] for name in OF_SUMMARY if name in summary}
                yield part.study, str(job), job.key, json.dumps(kept)


def main(words: list[str]) -> int:
    """Keep or restore a reproduction; return the exit status."""
    parser = ArgumentParser("python -m studies.reproduction", description=__doc__)
    parser.add_argument("directory", type=Path, help=f"output directory of {COMMAND} --hours H")
    parser.add_argument("--restore", action="store_true", help="put the kept runs there instead")
    options = parser.parse_args(words)
    try:
        print(restore(options.directory) if options.restore else keep(options.directory))
    except InputError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
