"""What an explanation prints: what was asked, profiled, considered and ordered, and what came."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from math import isnan, nan
from typing import Any, cast

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.measure import measure_renderables
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lab.analysis.run_data import PARTS
from lab.common import formatting as wording
from lab.common.console import PIPE_WIDTH
from lab.common.formatting import count, listed
from lab.reporting.explain.findings import (
    CHOSEN,
    DEPLOYED,
    LATENCY,
    REFUSED,
    Row,
    failed_parts,
    half_width,
    last_runs,
    measurements,
    missed_by,
    named,
    offer_of,
    offers_in_short,
    parts_of,
    role_of,
    seconds,
    verdict,
    why_late,
    window_ranges,
    windows_of,
)
from lab.reporting.explain.record import QueryRecord
from sim.metrics.goodput import reaches

# Columns that hold words, not figures; the long ones first that give way in a narrow terminal.
LONG = ("reason", "plan", "why late, or mostly spent on", "configuration")
WORDS = {*LONG, "floor", "operator", "outcome", "roles", "trigger", "verdict", "windows"}


class TextGrid:
    """A table that moves long columns of words below itself until it fits the terminal.

    If it is too wide even then, it has no lines between its columns.
    """

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
        else:
            if measure_renderables(console, unbounded, [table]).maximum > options.max_width:
                table.box, table.padding, table.show_edge = SIMPLE_HEAD, (0, 0), False
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
    """Return at most so many items, rather those of the first conditions, and how many are left."""
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


def sections(record: QueryRecord, rows: int) -> Iterator[Iterator[RenderableType]]:
    """Yield the sections, each as lines and tables of at most so many rows; 0 for all."""
    yield asked(record)
    for section in (profiled, offered, ordered, served, windows):
        yield section(record, rows)
    yield parts(record)


def asked(record: QueryRecord) -> Iterator[str]:
    """Yield what the query asked for, and what is true of it."""
    row = record.asked
    over = " over output length" if record.per_output_length else ""
    ceiling = row["slo_cost_usd_per_hour"]
    slo = []
    if record.bound_s is not None:
        slo.append(f"p95 latency{over} within {seconds(record.bound_s)}")
    if record.floor is not None:
        slo.append(f"accuracy of {record.floor:.3f} or more")
    if ceiling is not None:
        slo.append(f"at most ${ceiling:g}/h")
    known = "" if record.closed else " (as far as known: the run has not closed this query)"
    yield f"Asked: {listed(slo) or 'nothing that is known'}, tier {row['tier']}{known}"
    if record.closed:
        yield (
            f"  data set {row['dataset']}; {row['device']} on {row['technology']}, truly "
            f"{row['true_device_factor']:.2f} times as fast as its model, round trip "
            f"{seconds(row['true_access_rtt_s'])}, uplink "
            f"{row['true_uplink_mean_bps'] / 1e6:.1f} Mbit/s"
        )
    end = "left" if record.closed else "still there"
    yield f"  arrived at {record.arrival_s:,.1f} s, {end} at {row['departure_s']:,.1f} s"
    for kind, at_s in record.events:
        yield f"  {kind} {seconds(at_s - record.arrival_s)} after it arrived"


def profiled(record: QueryRecord, rows: int) -> Iterator[RenderableType]:
    """Yield what was profiled, in order, and whether it was misleading."""
    own, offline = record.profiling, record.offline
    if own.height:
        yield _sum_of_profiling(own, "Profiled for it")
        yield _verdicts(own, record.floor)
        yield from _profiling_table(record, own, rows, record.arrival_s, record.floor)
    if offline.height:
        yield _sum_of_profiling(offline, f"Profiled ahead, on {offline['dataset'][0]} as a whole")
        # The floor is of the query's own content, of which these say little.
        yield from _profiling_table(record, offline, rows, 0.0, None)
    if not own.height and not offline.height:
        yield "Profiled: nothing"


def _sum_of_profiling(runs: pl.DataFrame, title: str) -> str:
    return (
        f"{title}: {count(runs['configuration'].n_unique(), 'configuration')} in "
        f"{count(runs.height, 'run')}, "
        f"{seconds(float(runs['charged_s'].sum()))} of planning, "
        f"{seconds(float(runs['device_s'].sum()))} of devices"
    )


def _verdicts(runs: pl.DataFrame, floor: float | None) -> str:
    """Count how often the last measurement of a configuration was on the right side of a floor."""
    if floor is None:
        return "  no accuracy floor is known to hold them against"
    both = [
        (reaches(row["accuracy_mean"], floor), reaches(row["true_accuracy"], floor))
        for row in last_runs(runs)
    ]
    reached = sum(measured for measured, _ in both)
    return (
        f"  {reached:,} of {len(both):,} reached the floor of {floor:.3f} when last measured, "
        f"{both.count((True, False)):,} of them wrongly; {len(both) - reached:,} missed it, "
        f"{both.count((False, True)):,} of them wrongly"
    )


def _profiling_table(
    record: QueryRecord, runs: pl.DataFrame, rows: int, since_s: float, floor: float | None
) -> Iterator[RenderableType]:
    ordered = set(record.decisions["configuration"].drop_nulls())
    shown, left_out = kept(measurements(runs), rows, lambda row: row["configuration"] in ordered)
    stepwise = any(row["runs"] > 1 for row in shown)
    heads = ["after, s", "configuration", "items", *["runs"] * stepwise, "accuracy", "truly"]
    heads += ["floor"] * (floor is not None) + ["charged, s", "devices, s", "reused"]
    grid = TextGrid(*heads)
    for row in shown:
        cells = [
            f"{row['at_s'] - since_s:.2f}",
            row["configuration"],
            f"{row['samples']:,}",
            *[f"{row['runs']:,}"] * stepwise,
            f"{row['accuracy_mean']:.3f} ± {half_width(row):.3f}",
            f"{row['true_accuracy']:.3f}",
        ]
        if floor is not None:
            cells.append(_side(row["accuracy_mean"], row["true_accuracy"], floor))
        cells += [charged(row["charged_s"]), charged(row["device_s"]), str(row["prefix_reused"])]
        grid.add_row(*cells)
    yield from with_rest(grid, left_out, "lines")


def _side(believed: float, true: float, floor: float) -> str:
    """Return on which side of a floor a belief is, and whether the truth is there too."""
    passed = reaches(believed, floor)
    right = passed == reaches(true, floor)
    return f"{'reached' if passed else 'missed'}{'' if right else ', wrongly'}"


def offered(record: QueryRecord, rows: int) -> Iterator[RenderableType]:
    """Yield the plans that the planner put on record, what it believed of them, and prices."""
    offers = record.offers
    if not offers.height:
        yield "Considered: the planner put nothing on record"
        return
    short = offers_in_short(offers)
    yield _sum_of_offers(short)
    ordered_at = set(record.decisions["triggered_s"])
    shown, left_out = kept(
        short,
        rows,
        lambda row: not {CHOSEN, REFUSED}.isdisjoint(row["roles"]),
        lambda row: row["triggered_s"] in ordered_at,
    )
    priced = any(row["price"] is not None for row in shown)
    reasoned = any(row["reason"] for row in shown)
    heads = ["after, s", "roles", "plan", "p95, s", "accuracy", "floor", "truly", "list $/h"]
    grid = TextGrid(*heads, *["price"] * priced, *["reason"] * reasoned)
    for row in shown:
        late = record.bound_s is not None and row["latency_s"] > record.bound_s
        cells = [
            f"{row['at_s'] - record.arrival_s:.2f}",
            ", ".join(row["roles"]),
            row["plan"],
            number(row["latency_s"]) + " (late)" * late,
            number(row["accuracy"]),
            ""
            if record.floor is None
            else _side(row["accuracy"], row["true_accuracy"], record.floor),
            number(row["true_accuracy"]),
            number(row["list_price_usd_per_hour"]),
        ]
        cells += [number(row["price"])] * priced + [row["reason"] or ""] * reasoned
        grid.add_row(*cells)
    yield from with_rest(grid, left_out, "plans")


def _sum_of_offers(short: Sequence[Row]) -> str:
    """Count different plans, and rows of their table, each by the role that tells most of it."""
    plans = len({row["plan"] for row in short})
    calls = len({row["triggered_s"] for row in short})
    roles = Counter(role_of(row["roles"]) for row in short).most_common()
    again = f" considered {len(short):,} times" if len(short) > plans else ""
    return (
        f"Considered: {plans:,} {'different ' * bool(again)}plan{'s' * (plans > 1)}{again} in "
        f"{calls:,} planning call{'s' * (calls > 1)} "
        f"({', '.join(f'{count:,} {role}' for role, count in roles)})"
    )


def ordered(record: QueryRecord, rows: int) -> Iterator[RenderableType]:
    """Yield the orders, what became of them, and why."""
    decisions = record.decisions
    if not decisions.height:
        yield "Ordered: nothing"
        return
    counts = decisions["outcome"].value_counts(sort=True)
    yield "Ordered: " + ", ".join(f"{count:,} {outcome}" for outcome, count in counts.iter_rows())
    # A planner that insists is refused every second for the same reason.
    alike = [
        list(group)
        for _, group in groupby(
            decisions.iter_rows(named=True),
            key=lambda row: (row["outcome"], row["plan"], row["reason"], row["trigger"]),
        )
    ]
    shown, left_out = kept(alike, rows, lambda group: group[0]["outcome"] == DEPLOYED)
    reasoned = any(group[0]["reason"] for group in shown)
    heads = ["after, s", "trigger", "outcome", "plan", "list $/h", "charged, s", "waited, s"]
    grid = TextGrid(*heads, "in force after, s", *["reason"] * reasoned)
    for group in shown:
        grid.add_row(*_order_cells(record, group), *[group[0]["reason"] or ""] * reasoned)
    yield from with_rest(grid, left_out, "lines")
    if record.closed:
        yield _trials(record.asked)


def _order_cells(record: QueryRecord, group: list[Row]) -> list[str]:
    first, last = group[0], group[-1]
    when = f"{first['decided_s'] - record.arrival_s:.2f}"
    if len(group) > 1:
        when += f" to {last['decided_s'] - record.arrival_s:.2f}"
    in_force_s = first["in_force_s"]
    return [
        when,
        first["trigger"] or "",
        first["outcome"] + (f", {len(group):,} times" if len(group) > 1 else ""),
        first["plan"] or "",
        number(first["list_price_usd_per_hour"]),
        charged(sum(row["charged_s"] or 0.0 for row in group)),
        charged(sum(row["waited_s"] or 0.0 for row in group)),
        "" if in_force_s is None else f"{in_force_s - record.arrival_s:.2f}",
    ]


def _trials(row: Row) -> str:
    """Say how the deployments did in their trials."""
    response_s = row["response_time_s"]
    good = (
        "no plan that truly met latency and accuracy"
        if response_s is None
        else f"the first that truly met latency and accuracy, after {seconds(response_s)}"
    )
    return (
        f"  false acceptances: {row['false_acceptances']:,} of {row['deployments']:,} "
        f"deployments in force; {good}"
    )


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
    of_intervals = windows_of(record)
    shown, left_out = kept(list(zip(record.deployment_intervals, of_intervals, strict=True)), rows)
    for interval, windows in shown:
        offer = offer_of(record, interval.order)
        since_s, until_s = interval.start_s - record.arrival_s, interval.end_s - record.arrival_s
        grid.add_row(
            f"{since_s:.2f} to {until_s:.2f}",
            interval.order["configuration"],
            "" if offer is None else number(offer["latency_s"]),
            number(median(windows, "latency_p95_s")),
            "" if offer is None else number(offer["accuracy"]),
            number(median(windows, "accuracy")),
            f"{sum(row['met'] for row in windows)} of {len(windows)}",
        )
    yield from with_rest(grid, left_out, "plans")
    if note := _which_windows(record, of_intervals):
        yield f"  {note}"


def _which_windows(record: QueryRecord, of_intervals: Sequence[Sequence[Row]]) -> str:
    """Say which plan a window counts for, and which windows count for none."""
    judged = set(record.windows.filter(~pl.col("repeated"))["window"])
    without = judged - {row["window"] for rows in of_intervals for row in rows}
    notes = []
    if len(of_intervals) > 1:
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
    times_s = parts_of(record, alike)
    most = max(times_s, key=lambda each: times_s[each], default=None)
    return "" if most is None else f"{named(*most)}, {seconds(times_s[most])} on average"


def parts(record: QueryRecord) -> Iterator[RenderableType]:
    """Yield where the latency went, by operator."""
    if not record.operators.height:
        return
    late = record.windows.filter(~pl.col("latency_met") & ~pl.col("repeated"))
    times_s, late_s = parts_of(record, record.windows), parts_of(record, late)
    operators = dict.fromkeys(operator for operator, _ in times_s)
    batches = any(times_s[operator, "batching"] for operator in operators)
    shown = [part for part in PARTS if part != "batching" or batches]
    plain = ", not over output length" if record.per_output_length else ""
    yield f"Where the latency went (means over completed requests, ms{plain}):"
    grid = TextGrid("operator", *shown, "in all", *["in all, in late windows"] * bool(late_s))
    for operator in operators:
        cells = [ms(times_s[operator, part]) for part in shown]
        cells.append(ms(sum(times_s[operator, part] for part in PARTS)))
        if late_s:
            cells.append(ms(sum(late_s.get((operator, part), nan) for part in PARTS)))
        grid.add_row(operator, *cells)
    yield grid
