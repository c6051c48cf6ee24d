"""The text of an explanation: the SLO, profiling, considered plans, decisions and observations."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from io import StringIO
from itertools import groupby
from math import fsum, isnan, nan
from textwrap import TextWrapper
from typing import Any, cast

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.measure import measure_renderables
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lab.analysis.run_data import PARTS, plan_notation
from lab.common import formatting as wording
from lab.common.console import PIPE_WIDTH
from lab.common.formatting import count, listed
from lab.reporting.explain.findings import (
    CHOSEN,
    DEPLOYED,
    LATENCY,
    REFUSED,
    Row,
    answer,
    failed_parts,
    half_width,
    last_runs,
    measurements,
    merged_offers,
    missed_by,
    named,
    offer_of,
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

# Columns that move below the table if the terminal is narrow, in this order.
LONG = ("reason", "plan", "main delay", "configuration")
# Columns with text instead of numbers.
WORDS = {*LONG, "floor", "operator", "outcome", "roles", "trigger", "verdict", "windows"}


class TextGrid:
    """A table; if it is too wide for the terminal, the columns in `LONG` are printed below it.

    If it is still too wide, it is printed without lines between columns.
    """

    def __init__(self, *heads: str) -> None:
        self._heads = heads
        self._rows: list[tuple[str, ...]] = []

    def add_row(self, *cells: str) -> None:
        """Add a row with one cell per column."""
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
        """Return the table without the columns in `below`; if any is left out, number the rows."""
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


def selected(
    items: Sequence[Any], most: int, *preferences: Callable[[Any], bool]
) -> tuple[list[Any], int]:
    """Return at most `most` items (0 means all) in their order, and the number left out.

    Items that meet `preferences` are selected first; each preference outweighs all later ones.
    """
    if not most or len(items) <= most:
        return list(items), 0
    ranks = [tuple(not condition(item) for condition in preferences) for item in items]
    best = sorted(range(len(items)), key=lambda at: (ranks[at], at))[:most]
    return [items[at] for at in sorted(best)], len(items) - most


def with_rest(grid: TextGrid, left_out: int, what: str) -> Iterator[RenderableType]:
    """Yield a table, then a line that counts the rows left out."""
    yield grid
    if left_out:
        yield f"  {left_out:,} more {what}; --rows 0 shows all"


number = partial(wording.number, missing="")
"""Formats a number with three digits; empty for None."""


def ms(time_s: float) -> str:
    """Format a time in milliseconds; empty for nan."""
    return "" if isnan(time_s) else f"{1e3 * time_s:,.1f}"


def charged(time_s: float) -> str:
    """Format charged seconds, which range from microseconds to hours."""
    return "<0.001" if 0 < time_s < 1e-3 else f"{time_s:,.3f}"


def median(rows: Iterable[Row], column: str) -> float | None:
    """Return the median of a column, or None if it has no values."""
    values = pl.Series([row[column] for row in rows], dtype=pl.Float64).drop_nans()
    middle = values.median()
    return None if middle is None else float(cast(float, middle))


def explanation(record: QueryRecord, rows: int, width: int) -> Iterator[RenderableType]:
    """Yield all sections and what comes before them; texts have lines of at most `width`."""
    first = (f"{record.run}, planner {record.planner}", answer(record), plan_notation(record.run))
    for sentence in filter(None, first):
        yield wrapper(width).fill(sentence)
    for section in sections(record, rows):
        for at, part in enumerate(section):
            if not at:
                yield ""
            yield wrapper(width).fill(part) if isinstance(part, str) else part


def plain_text(parts: Iterable[RenderableType], width: int) -> str:
    """Return parts of an explanation as text without colours, as a terminal shows them."""
    text = StringIO()
    screen = Console(
        file=text,
        width=width,
        markup=False,
        emoji=False,
        no_color=True,
        force_jupyter=False,  # in a notebook, rich would print into its cell
    )
    for part in parts:
        screen.print(part, highlight=False, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def wrapper(width: int) -> TextWrapper:
    """Return what breaks the texts of an explanation into lines."""
    return TextWrapper(width, "", "    ", break_long_words=False, break_on_hyphens=False)


def sections(record: QueryRecord, rows: int) -> Iterator[Iterator[RenderableType]]:
    """Yield the sections as lines and tables; tables have at most `rows` rows (0 means all)."""
    yield requested(record)
    for section in (profiled, offered, ordered, served, windows):
        yield section(record, rows)
    yield parts(record)


def requested(record: QueryRecord) -> Iterator[str]:
    """Yield the query's SLO, its device and link, and its lifetime."""
    row = record.query_row
    over = " per output length" if record.per_output_length else ""
    ceiling = row["slo_cost_usd_per_hour"]
    slo = []
    if record.bound_s is not None:
        slo.append(f"p95 latency{over} of at most {seconds(record.bound_s)}")
    if record.floor is not None:
        slo.append(f"accuracy of at least {record.floor:.3f}")
    if ceiling is not None:
        slo.append(f"at most ${ceiling:g}/h")
    known = "" if record.closed else " (incomplete, because the query is still open)"
    yield f"SLO: {listed(slo) or 'unknown'}, tier {row['tier']}{known}"
    if record.closed:
        yield (
            f"  data set {row['dataset']}; {row['device']} on {row['technology']}; true device "
            f"speed {row['true_device_factor']:.2f} times that of its model, true round trip "
            f"{seconds(row['true_access_rtt_s'])}, true uplink "
            f"{row['true_uplink_mean_bps'] / 1e6:.1f} Mbit/s"
        )
    end = "left" if record.closed else "still open"
    yield f"  arrived at {record.arrival_s:,.1f} s, {end} at {row['departure_s']:,.1f} s"
    for kind, at_s in record.events:
        yield f"  {kind} {seconds(at_s - record.arrival_s)} after its arrival"


def profiled(record: QueryRecord, rows: int) -> Iterator[RenderableType]:
    """Yield what was profiled, sorted by time, and whether measurements were misleading."""
    own, offline = record.profiling, record.offline
    if own.height:
        yield _sum_of_profiling(own, "Profiled for this query")
        yield _verdicts(own, record.floor)
        yield from _profiling_table(record, own, rows, record.arrival_s, record.floor)
    if offline.height:
        yield _sum_of_profiling(offline, f"Profiled in advance, on all of {offline['dataset'][0]}")
        # The floor is for the query's own content, about which these runs say little.
        yield from _profiling_table(record, offline, rows, 0.0, None)
    if not own.height and not offline.height:
        yield "Profiled: nothing"


def _sum_of_profiling(runs: pl.DataFrame, title: str) -> str:
    return (
        f"{title}: {count(runs['configuration'].n_unique(), 'configuration')} in "
        f"{count(runs.height, 'run')}, "
        f"{seconds(float(runs['charged_s'].sum()))} of planning time, "
        f"{seconds(float(runs['device_s'].sum()))} of device time"
    )


def _verdicts(runs: pl.DataFrame, floor: float | None) -> str:
    """Return a line that counts configurations measured on the right side of a floor."""
    if floor is None:
        return "  no accuracy floor is known"
    both = [
        (reaches(row["accuracy_mean"], floor), reaches(row["true_accuracy"], floor))
        for row in last_runs(runs)
    ]
    reached = sum(measured for measured, _ in both)
    return (
        f"  {reached:,} of {len(both):,} reached the floor of {floor:.3f} in their last "
        f"measurement, {both.count((True, False)):,} of them wrongly; {len(both) - reached:,} "
        f"missed it, {both.count((False, True)):,} of them wrongly"
    )


def _profiling_table(
    record: QueryRecord, runs: pl.DataFrame, rows: int, since_s: float, floor: float | None
) -> Iterator[RenderableType]:
    ordered = set(record.decisions["configuration"].drop_nulls())
    merged = measurements(runs)
    shown, left_out = selected(merged, rows, lambda row: row["configuration"] in ordered)
    stepwise = any(row["runs"] > 1 for row in shown)
    heads = ["after, s", "configuration", "items", *["runs"] * stepwise, "accuracy", "true"]
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
    """Return whether a believed accuracy reaches a floor, and whether that belief is wrong."""
    passed = reaches(believed, floor)
    right = passed == reaches(true, floor)
    return f"{'reached' if passed else 'missed'}{'' if right else ', wrongly'}"


def offered(record: QueryRecord, rows: int) -> Iterator[RenderableType]:
    """Yield the plans that the planner logged, its beliefs about them, and their prices."""
    offers = record.offers
    if not offers.height:
        yield "Considered: the planner logged no plans"
        return
    short = merged_offers(offers)
    yield _sum_of_offers(short)
    ordered_at = set(record.decisions["triggered_s"])
    shown, left_out = selected(
        short,
        rows,
        lambda row: not {CHOSEN, REFUSED}.isdisjoint(row["roles"]),
        lambda row: row["triggered_s"] in ordered_at,
    )
    priced = any(row["price"] is not None for row in shown)
    reasoned = any(row["reason"] for row in shown)
    heads = ["after, s", "roles", "plan", "p95, s", "accuracy", "floor", "true", "list $/h"]
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
    """Return a line that counts plans and planning calls, and offers by main role."""
    plans = len({row["plan"] for row in short})
    calls = len({row["triggered_s"] for row in short})
    roles = Counter(role_of(row["roles"]) for row in short).most_common()
    considered = count(plans, "plan")
    if len(short) > plans:
        considered = f"{count(plans, 'different plan')} considered {len(short):,} times"
    return (
        f"Considered: {considered} in {count(calls, 'planning call')} "
        f"({', '.join(f'{many:,} {role}' for role, many in roles)})"
    )


def ordered(record: QueryRecord, rows: int) -> Iterator[RenderableType]:
    """Yield the planner's decisions for the query, with their outcomes and reasons."""
    decisions = record.decisions
    if not decisions.height:
        yield "Ordered: nothing"
        return
    counts = decisions["outcome"].value_counts(sort=True)
    yield "Ordered: " + ", ".join(f"{count:,} {outcome}" for outcome, count in counts.iter_rows())
    # A planner can repeat an order every second and be refused for the same reason.
    alike = [
        list(group)
        for _, group in groupby(
            decisions.iter_rows(named=True),
            key=lambda row: (row["outcome"], row["plan"], row["reason"], row["trigger"]),
        )
    ]
    shown, left_out = selected(alike, rows, lambda group: group[0]["outcome"] == DEPLOYED)
    reasoned = any(group[0]["reason"] for group in shown)
    heads = ["after, s", "trigger", "outcome", "plan", "list $/h", "charged, s", "waited, s"]
    grid = TextGrid(*heads, "active after, s", *["reason"] * reasoned)
    for group in shown:
        grid.add_row(*_order_cells(record, group), *[group[0]["reason"] or ""] * reasoned)
    yield from with_rest(grid, left_out, "lines")
    if record.closed:
        yield _trials(record.query_row)


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
        charged(fsum(row["charged_s"] or 0.0 for row in group)),
        charged(fsum(row["waited_s"] or 0.0 for row in group)),
        "" if in_force_s is None else f"{in_force_s - record.arrival_s:.2f}",
    ]


def _trials(row: Row) -> str:
    """Return a line on false acceptances and the response time."""
    if not row["deployments"]:
        return "  no plan became active, so none could meet latency and accuracy"
    response_s = row["response_time_s"]
    good = (
        "no plan truly met latency and accuracy in its first seconds"
        if response_s is None
        else f"the first plan that truly met latency and accuracy came after {seconds(response_s)}"
    )
    of_deployments = f"{row['false_acceptances']:,} of {row['deployments']:,} active deployments"
    return f"  false acceptances: {of_deployments}; {good}"


def served(record: QueryRecord, rows: int) -> Iterator[RenderableType]:
    """Yield what was believed about each active plan, and what was observed."""
    if not record.deployment_intervals:
        return
    yield "Believed and observed (medians over a plan's windows):"
    heads = ["active after, s", "configuration", "p95, s", "observed, s", "accuracy", "true"]
    grid = TextGrid(*heads, "windows met")
    of_intervals = windows_of(record)
    intervals = list(zip(record.deployment_intervals, of_intervals, strict=True))
    shown, left_out = selected(intervals, rows)
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
    """Return a note on the plan for which a window counts, and on windows that do not count."""
    judged = set(record.windows.filter(~pl.col("repeated"))["window"])
    without = judged - {row["window"] for rows in of_intervals for row in rows}
    notes = []
    if len(of_intervals) > 1:
        notes.append("a window counts for the plan that served most of it")
    if without:
        notes.append(
            f"not counted, because no plan was active for some time: "
            f"{'window' if len(without) == 1 else 'windows'} {window_ranges(without)}"
        )
    return "; ".join(notes)


def windows(record: QueryRecord, rows: int) -> Iterator[RenderableType]:
    """Yield the verdicts of the windows; consecutive windows with equal verdicts share a line."""
    if not record.windows.height:
        yield "Windows: none"
        return
    groups = [list(group) for _, group in groupby(record.windows.iter_rows(named=True), key=_alike)]
    judged = [row for group in groups for row in group if not row["repeated"]]
    met = sum(row["met"] for row in judged)
    yield f"Windows: {met:,} of {len(judged):,} with requests met the SLO"
    grid = TextGrid("windows", "verdict", "in time", "p95, s", "accuracy", "main delay")
    shown, left_out = selected(groups, rows, lambda group: bool(failed_parts(group[0])))
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
        yield "  for windows that share a line: sums of requests, medians of p95 and accuracy"


def _alike(window: Row) -> tuple[str, str | None]:
    return verdict(window), missed_by(window) if LATENCY in failed_parts(window) else None


def _where(record: QueryRecord, alike: pl.DataFrame) -> str:
    """Return why windows were late, or which part took the most time if no window was late."""
    if any(LATENCY in failed_parts(window) for window in alike.iter_rows(named=True)):
        return why_late(record, alike)
    times_s = parts_of(record, alike)
    most = max(times_s, key=lambda each: times_s[each], default=None)
    return "" if most is None else f"{named(*most)}, {seconds(times_s[most])} on average"


def parts(record: QueryRecord) -> Iterator[RenderableType]:
    """Yield the parts of the latency by operator."""
    if not record.operators.height:
        return
    late = record.windows.filter(~pl.col("latency_met") & ~pl.col("repeated"))
    times_s, late_s = parts_of(record, record.windows), parts_of(record, late)
    operators = dict.fromkeys(operator for operator, _ in times_s)
    batches = any(times_s[operator, "batching"] for operator in operators)
    shown = [part for part in PARTS if part != "batching" or batches]
    plain = ", not per output length" if record.per_output_length else ""
    yield f"Where the latency went (means over completed requests, ms{plain}):"
    grid = TextGrid("operator", *shown, "total", *["total in late windows"] * bool(late_s))
    for operator in operators:
        cells = [ms(times_s[operator, part]) for part in shown]
        cells.append(ms(fsum(times_s[operator, part] for part in PARTS)))
        if late_s:
            cells.append(ms(fsum(late_s.get((operator, part), nan) for part in PARTS)))
        grid.add_row(operator, *cells)
    yield grid
