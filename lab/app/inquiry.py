"""What the page tells of one query: its explanation, and the regrets of the decisions on it."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from time import monotonic

from lab.common.errors import InputError
from lab.forks.regret import GOODPUT, Examination, Regrets
from lab.forks.run_on_disk import setup_of
from lab.reporting.explain.record import read_query
from lab.reporting.explain.text import explanation as story
from lab.reporting.explain.text import plain_text, wrapper

WIDTH = 80
"""Width of an explanation in characters."""
MOST_ROWS = 12
"""Largest number of rows of a table."""
GONE = "The results of this run are no longer kept. Move a control and back to make it again."
MOST_S = 120
"""Wall-clock seconds for regrets, after which no further alternative is tried."""


def explanation(run: Path, query: int) -> str:
    """Return why a query got its plan, as ``compass-lab explain`` does; or why that is unknown."""
    if not run.is_dir():
        return GONE
    try:
        parts = story(read_query(run, query), MOST_ROWS, WIDTH)
        return plain_text(islice(parts, 1, None), WIDTH)  # the page shows which run this is
    except (InputError, OSError) as error:
        return str(error)


def regrets(run: Path, query: int, goes_on: Callable[[], bool], most_s: float = MOST_S) -> str:
    """Return what the best alternatives to the decisions on a query would have gained.

    Decisions on other queries stay the planner's, so these are not the regrets of
    ``compass-lab regret``, which goes through all decisions.

    Args:
        run: directory of the run.
        query: number of the query.
        goes_on: asked before each alternative whether the answer is still wanted.
        most_s: wall-clock seconds, after which no further alternative is tried.
    """
    until_s = monotonic() + most_s
    if not run.is_dir():
        return GONE
    try:
        examination = Examination(setup_of(run), Regrets(GOODPUT), query=query)
        examination.examine(lambda: goes_on() and monotonic() < until_s)
    except (InputError, OSError) as error:
        return str(error)
    found, left = examination.regrets.found, len(examination.regrets.left)
    lines = [f"Decisions on query {query}: {len(found) + left}."]
    lines += [wrapper(WIDTH).fill(each.in_words()) for each in found]
    if left:
        why = f"within {most_s:g} s" if goes_on() else "because a control was moved"
        lines.append(f"Not examined {why}: {left}.")
    return "\n".join(lines)
