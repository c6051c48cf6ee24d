"""What came of a query's plans, as lines and tables."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import nan

import polars as pl
from rich.console import RenderableType

from lab.analysis.run_data import PARTS
from lab.reporting.explain.findings import (
    LATENCY,
    Row,
    failed_parts,
    missed_by,
    named,
    offer_of,
    parts_of,
    seconds,
    verdict,
    why_late,
    window_ranges,
    windows_of,
)
from lab.reporting.explain.record import QueryRecord
from lab.reporting.explain.tables import TextGrid, kept, median, ms, number, with_rest


def served(record: QueryRecord, rows: int) -> Iterator[RenderableType]:
    """Yield what was believed of each plan that was in force, and what came."""
    if not record.deployment_intervals:
        return
    yield "Believed, and what came (medians over a plan's windows):"
    grid = TextGrid(
        "in force after, s",
        "configuration",
        "p95, s",
        "came, s",
        "accuracy",
        "truly",
        "windows met",
    )
    of_spells = windows_of(record)
    shown, left_out = kept(list(zip(record.deployment_intervals, of_spells, strict=True)), rows)
    for spell, windows in shown:
        offer = offer_of(record, spell.order)
        since_s, until_s = spell.start_s - record.arrival_s, spell.end_s - record.arrival_s
        grid.add_row(
            f"{since_s:.2f} to {until_s:.2f}",
            spell.order["configuration"],
            "" if offer is None else number(offer["latency_s"]),
            number(median(windows, "latency_p95_s")),
            "" if offer is None else number(offer["accuracy"]),
            number(median(windows, "accuracy")),
            f"{sum(row['met'] for row in windows)} of {len(windows)}",
        )
    yield from with_rest(grid, left_out, "plans")
    if note := _which_windows(record, of_spells):
        yield f"  {note}"


def _which_windows(record: QueryRecord, of_spells: Sequence[Sequence[Row]]) -> str:
    """Say which plan a window counts for, and which windows count for none."""
    judged = set(record.windows.filter(~pl.col("repeated"))["window"])
    without = judged - {row["window"] for rows in of_spells for row in rows}
    notes = []
    if len(of_spells) > 1:
        notes.append("a window counts for the plan that served most of it")
    if without:
        notes.append(
            f"left out of the {len(judged):,} with requests: window{'s' * (len(without) > 1)} "
            f"{window_ranges(without)}, in which no plan was in force for a time"
        )
    return "; ".join(notes)


def windows(record: QueryRecord, rows: int) -> Iterator[RenderableType]:
    """Yield what became of the windows, those in a row that fared alike on one line."""
    if not record.windows.height:
        yield "Windows: none was judged"
        return
    groups = [list(group) for _, group in groupby(record.windows.iter_rows(named=True), key=_alike)]
    judged = [row for group in groups for row in group if not row["repeated"]]
    met = sum(row["met"] for row in judged)
    yield f"Windows: {met:,} of {len(judged):,} with requests met the SLO"
    grid = TextGrid(
        "windows", "verdict", "in time", "p95, s", "truly", "why late, or mostly spent on"
    )
    shown, left_out = kept(groups, rows, lambda group: bool(failed_parts(group[0])))
    for group in shown:
        first, last = group[0]["window"], group[-1]["window"]
        requests = sum(row["requests"] for row in group)
        grid.add_row(
            f"{first}-{last}" if last > first else str(first),
            verdict(group[0]) + ("" if group[-1]["final"] else " (cut by the horizon)"),
            f"{sum(row['good'] for row in group):,} of {requests:,}" if requests else "",
            number(median(group, "latency_p95_s")) if requests else "",
            number(median(group, "accuracy")),
            _where(record, record.windows.filter(pl.col("window").is_between(first, last))),
        )
    yield from with_rest(grid, left_out, "lines")
    if any(len(group) > 1 for group in shown):
        yield "  where windows share a line: requests added up, p95 and truly medians of theirs"


def _alike(window: Row) -> tuple[str, str | None]:
    return verdict(window), missed_by(window) if LATENCY in failed_parts(window) else None


def _where(record: QueryRecord, alike: pl.DataFrame) -> str:
    """Say why windows were late, or what took the most time in windows that were not."""
    if any(LATENCY in failed_parts(window) for window in alike.iter_rows(named=True)):
        return why_late(record, alike)
    most = max(parts_of(record, alike), key=lambda each: each.time_s, default=None)
    return "" if most is None else f"{named(most)}, {seconds(most.time_s)} on average"


def parts(record: QueryRecord) -> Iterator[RenderableType]:
    """Yield where the latency went, by operator."""
    if not record.operators.height:
        return
    late = record.windows.filter(~pl.col("latency_met") & ~pl.col("repeated"))
    shares = parts_of(record, record.windows)
    in_late = {(each.operator, each.part): each.time_s for each in parts_of(record, late)}
    shown = [
        part
        for part in PARTS
        if part != "batching" or any(each.time_s for each in shares if each.part == part)
    ]
    plain = ", not over output length" if record.per_output_length else ""
    yield f"Where the latency went (means over completed requests, ms{plain}):"
    grid = TextGrid("operator", *shown, "in all", *["in all, in late windows"] * bool(in_late))
    for operator, group in groupby(shares, key=lambda each: each.operator):
        times = {each.part: each.time_s for each in group}
        cells = [ms(times[part]) for part in shown] + [ms(sum(times.values()))]
        if in_late:
            cells.append(ms(sum(in_late.get((operator, part), nan) for part in PARTS)))
        grid.add_row(operator, *cells)
    yield grid
