"""What was asked, profiled, considered and ordered, as lines and tables."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import polars as pl
from rich.console import RenderableType

from lab.common.formatting import count, listed
from lab.reporting.explain.findings import (
    CHOSEN,
    DEPLOYED,
    REFUSED,
    Row,
    half_width,
    last_runs,
    measurements,
    offers_in_short,
    role_of,
    seconds,
)
from lab.reporting.explain.record import QueryRecord
from lab.reporting.explain.tables import TextGrid, charged, kept, number, with_rest
from sim.metrics.goodput import reaches


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
    """Count different plans, and the rows of their table, of which a plan has one per call.

    Each row counts once, by the role that tells most of it, so that the counts add up.
    """
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
