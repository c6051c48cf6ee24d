"""The board for people: a page for the class, and rows and sentences for the instructor."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lab.behaviour import shipped, told
from lab.common.atomic_write import written_aside
from lab.common.formatting import count, interval, number
from lab.common.metrics import METRICS
from lab.leaderboard.instructions import Instructions
from lab.leaderboard.ranking import HIGH, LOW, MEAN, PLANNER, RANK, Scored
from lab.reporting.render import render
from lab.runs.run_directory import write_aside

PAGE, TABLE = "leaderboard.html", "leaderboard.parquet"
TITLE = "Leaderboard"


def heads(instructions: Instructions) -> list[str]:
    """Return the heads of the board's columns."""
    title = METRICS[instructions.metric].title
    return ["rank", "planner", title, "95 % interval", *instructions.regimes, "failed runs"]


def rows(board: pl.DataFrame, instructions: Instructions) -> Iterator[list[str]]:
    """Yield the cells of the board's rows."""
    shared = board[RANK].value_counts().filter(pl.col("count") > 1)[RANK].to_list()
    for row in board.iter_rows(named=True):
        yield [
            f"{row[RANK]}{'=' * (row[RANK] in shared)}",
            row[PLANNER] + ("" if row["submitted"] else " (baseline)"),
            number(row[MEAN]),
            interval(row[LOW], row[HIGH]),
            *(number(row[regime]) for regime in instructions.regimes),
            f"{row['failed']} of {row['runs']}" if row["failed"] else "0",
        ]


def notes(instructions: Instructions) -> list[str]:
    """Return what explains the board; it tells neither seeds nor overrides."""
    regimes = count(len(instructions.regimes), "regime")
    return [
        f"Means over {regimes} and {len(instructions.seeds)} hidden seeds, the same for all "
        "planners. A run that failed counts 0. Columns of regimes have means over seeds.",
        "A rank is 1 plus the number of planners that are surely better: by paired t-tests over "
        "seeds, adjusted for all pairs of planners (Holm), at 95 %. It is never better than that "
        "of a larger mean. Planners with the same rank are marked by =; their order is that of "
        "the means, which can be chance.",
        f"The runs have behaviour {told(shipped())}.",
    ]


def page(board: pl.DataFrame, instructions: Instructions) -> str:
    """Return the board as HTML for the class."""
    cells: list[dict[str, Any]] = [
        {"cells": each, "baseline": not submitted}
        for each, submitted in zip(rows(board, instructions), board["submitted"], strict=True)
    ]
    return render(
        "leaderboard.html.jinja",
        package="lab.leaderboard",
        title=TITLE,
        heads=heads(instructions),
        rows=cells,
        notes=notes(instructions),
    )


def complaints(runs: Sequence[Scored]) -> Iterator[str]:
    """Yield a sentence for each planner with failed runs or errors, for the instructor."""
    for planner in dict.fromkeys(run.planner for run in runs):
        theirs = [run for run in runs if run.planner == planner]
        failed = [run for run in theirs if run.failure is not None]
        raised = [run for run in theirs if run.first_error is not None]
        if failed:
            first = failed[0]
            yield (
                f"{planner}: {len(failed)} of {count(len(theirs), 'run')} failed, the first in "
                f"regime {first.regime}: {first.failure}"
            )
        if raised:
            first = raised[0]
            errors = count(sum(run.errors for run in theirs), "error")
            yield (
                f"{planner}: raised {errors}, the first in regime {first.regime}: "
                f"{first.first_error}"
            )


def write(directory: Path, board: pl.DataFrame, instructions: Instructions) -> None:
    """Write the page and the table of the board."""
    with written_aside(directory / TABLE) as aside:
        board.write_parquet(aside)
    write_aside(directory / PAGE, page(board, instructions))
