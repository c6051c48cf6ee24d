"""Tables of an explanation, and how figures are written in them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from math import isnan
from typing import Any, cast

import polars as pl
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.measure import measure_renderables
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lab.common import formatting as wording
from lab.common.console import PIPE_WIDTH
from lab.reporting.explain.findings import Row

# Columns that hold words, not figures; the long ones first that give way in a narrow terminal.
LONG = ("reason", "plan", "why late, or mostly spent on", "configuration")
WORDS = {*LONG, "floor", "operator", "outcome", "roles", "trigger", "verdict", "windows"}


class TextGrid:
    """A table that moves long columns of words below itself until it fits the terminal."""

    def __init__(self, *heads: str) -> None:
        self._heads = heads
        self._rows: list[tuple[str, ...]] = []

    def add_row(self, *cells: str) -> None:
        """Add a row, a cell for each column."""
        self._rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbounded = options.update(max_width=PIPE_WIDTH)
        below: list[str] = []
        table = self._table(below)
        for head in LONG:
            if measure_renderables(console, unbounded, [table]).maximum <= options.max_width:
                break
            if head in self._heads:
                below.append(head)
                table = self._table(below)
        yield table
        if below:
            for number, row in enumerate(self._rows, 1):
                cells = dict(zip(self._heads, row, strict=True))
                words = [cells[head] for head in self._heads if head in below and cells[head]]
                if words:
                    yield Padding(Text(f"{number}: {'; '.join(words)}"), (0, 0, 0, 2))

    def _table(self, below: Sequence[str]) -> Table:
        """Return a table without some of the columns, but with numbers that lead to them."""
        table = Table()
        if below:
            table.add_column("", justify="right")
        at = [column for column, head in enumerate(self._heads) if head not in below]
        for column in at:
            head = self._heads[column]
            justify: JustifyMethod = "left" if head in WORDS else "right"
            table.add_column(head, justify=justify, overflow="fold")
        for number, row in enumerate(self._rows, 1):
            table.add_row(*[str(number)] * bool(below), *(Text(row[column]) for column in at))
        return table


def kept(items: Sequence[Any], most: int, *first: Callable[[Any], bool]) -> tuple[list[Any], int]:
    """Return at most so many items in their order, and how many are left out.

    Items that satisfy the first condition are kept first, then those that satisfy the second, etc.
    """
    if not most or len(items) <= most:
        return list(items), 0
    ranks = [tuple(not condition(item) for condition in first) for item in items]
    best = sorted(range(len(items)), key=lambda at: (ranks[at], at))[:most]
    return [items[at] for at in sorted(best)], len(items) - most


def with_rest(grid: TextGrid, left_out: int, what: str) -> Iterator[RenderableType]:
    """Yield a table, and how much it leaves out."""
    yield grid
    if left_out:
        yield f"  {left_out:,} more {what}; --rows 0 shows all"


number = partial(wording.number, missing="")
"""Writes a number to three digits; nothing where there is none."""


def ms(time_s: float) -> str:
    """Return a time in milliseconds; nothing where there is none."""
    return "" if isnan(time_s) else f"{1e3 * time_s:,.1f}"


def charged(time_s: float) -> str:
    """Return seconds that were charged, which range from microseconds to hours."""
    return "<0.001" if 0 < time_s < 1e-3 else f"{time_s:,.3f}"


def median(rows: Iterable[Row], column: str) -> float | None:
    """Return the median of a column, or None where it has no value."""
    values = pl.Series([row[column] for row in rows], dtype=pl.Float64).drop_nans()
    middle = values.median()
    return None if middle is None else float(cast(float, middle))
