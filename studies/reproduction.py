"""Keeps a reproduction: ``python -m studies.reproduction DIRECTORY``, which can say ``--restore``.

The directory is one of ``compass-lab reproduce all --out DIRECTORY``. Its page and figures become
those of the docs. What its runs measured is kept in ``studies/results/reproduction``, one run per
row. With ``--restore``, the kept runs are put into the directory instead, so that the same command
goes on from them, on any machine. As always, it only uses runs of its own code and configuration.
"""

import json
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lab.common.atomic_write import written_aside
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
OF_SUMMARY = (*NEEDED, SLO_MET.name, MEASURED)
"""The keys of a summary that are kept: those that each must have, and those that the page uses."""

ROW = {"key": pl.String, "summary": pl.String}
"""Columns of the kept runs: the key, and `OF_SUMMARY` as JSON."""

OK, REFUSED = 0, 2


def keep(directory: Path) -> int:
    """Keep the page and the runs of a directory; return the number of runs."""
    rows = pl.DataFrame([*_runs(directory)], ROW, orient="row").unique(maintain_order=True)
    KEPT.mkdir(parents=True, exist_ok=True)
    with written_aside(KEPT / RUNS) as aside:
        rows.write_parquet(aside)
    (KEPT / CAUSES).unlink(missing_ok=True)
    if (directory / CAUSES).exists():
        shutil.copyfile(directory / CAUSES, KEPT / CAUSES)
    shutil.rmtree(PAGE, ignore_errors=True)
    shutil.copytree(directory / PICTURES, PAGE / PICTURES)
    shutil.copyfile(directory / INDEX, PAGE / INDEX)
    return len(rows)


def restore(directory: Path) -> int:
    """Put the kept runs into a directory; return their number. Runs that are there stay."""
    rows = pl.read_parquet(KEPT / RUNS)
    for key, summary in rows.iter_rows():
        path = directory / CACHED / key / SUMMARY
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_aside(path, summary)
    if (KEPT / CAUSES).exists() and not (directory / CAUSES).exists():
        shutil.copyfile(KEPT / CAUSES, directory / CAUSES)
    return len(rows)


def _runs(directory: Path) -> Iterator[tuple[str, str]]:
    """Yield a `ROW` for each finished run of all figures, in the order of the page."""
    studies = {name: FIGURES[number] for number, name in NAMES.items()}
    for part in Effort(studies, WHOLE, directory).parts:
        for job in part.jobs:
            if cached(job, directory) is not None:
                summary = read_summary(directory / CACHED / job.key)
                yield job.key, json.dumps({name: summary[name] for name in OF_SUMMARY})


def main(words: list[str]) -> int:
    """Keep or restore a reproduction; return the exit status."""
    parser = ArgumentParser("python -m studies.reproduction", description=__doc__)
    parser.add_argument("directory", type=Path, help="output directory of compass-lab reproduce")
    parser.add_argument("--restore", action="store_true", help="put the kept runs there instead")
    options = parser.parse_args(words)
    needed = KEPT / RUNS if options.restore else options.directory / INDEX
    if not needed.exists():
        hint = "" if options.restore else "; make it by compass-lab reproduce all"
        print(f"{needed}: does not exist{hint}", file=sys.stderr)
        return REFUSED
    runs = restore(options.directory) if options.restore else keep(options.directory)
    print(f"{runs} runs, in {options.directory if options.restore else KEPT}")
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
