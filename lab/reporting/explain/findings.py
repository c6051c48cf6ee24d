"""Interprets the rows of one query: verdicts, reasons, and the answer in one sentence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import fsum, isinf, nan, sqrt
from typing import Any

import polars as pl

from lab.analysis.run_data import PARTS, mean_parts
from lab.analysis.statistics import student_t
from lab.common.console import times
from lab.common.formatting import count, listed
from lab.reporting.explain.record import QueryRecord
from sim.metrics.goodput import reaches
from sim.metrics.goodput_time import goodput_time

Row = Mapping[str, Any]

LATENCY, ACCURACY, COST = "latency", "accuracy", "cost"
CHOSEN, REFUSED = "chosen", "refused"  # roles of offers; the second is also an outcome of orders
DEPLOYED, ENDED = "deployed", "ended"
LATE = "late"
NO_PLAN = "no active plan"
# Outcomes of requests without an answer, in words.
ENDS = {
    "unserved": "unserved, because no plan was active",
    "dropped": "dropped at a full queue or a drain",
    "shed": "shed when their deadline passed",
    "lost": "lost with a machine",
}


def failed_parts(window: Row) -> tuple[str, ...]:
    """Return the parts of the SLO that a window missed; empty if it repeats an earlier verdict."""
    if window["met"] or window["repeated"]:
        return ()
    met = {part: window[f"{part}_met"] for part in (LATENCY, ACCURACY, COST)}
    if not window["completed"]:
        met[ACCURACY] = True
    return tuple(part for part, held in met.items() if not held)


def verdict(window: Row) -> str:
    """Return the verdict on a window in a few words."""
    if window["repeated"]:
        return f"no requests; as before, {'met' if window['met'] else 'not met'}"
    if window["met"]:
        return "met"
    if not window["completed"]:
        return "nothing served" if window["deployed_s"] else NO_PLAN
    return f"failed on {' and '.join(failed_parts(window))}"


def window_ranges(numbers: Iterable[int]) -> str:
    """Return numbers of windows as text, such as ``"3-5 and 8"``."""
    ranges = []
    for _, run in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        last = f"-{members[-1]}" if len(members) > 1 else ""
        ranges.append(f"{members[0]}{last}")
    return listed(ranges)


def windows_of(record: QueryRecord) -> list[list[Row]]:
    """Return each deployment's windows: those served completely, or else those served in part."""
    found: list[list[Row]] = [[] for _ in record.deployment_intervals]
    for window in record.windows.iter_rows(named=True):
        overlaps_s = [
            min(window["end_s"], interval.end_s) - max(window["start_s"], interval.start_s)
            for interval in record.deployment_intervals
        ]
        if not window["repeated"] and max(overlaps_s, default=0.0) > 0:
            found[overlaps_s.index(max(overlaps_s))].append(window)
    whole = [[row for row in rows if row["deployed_s"] >= row["active_s"]] for rows in found]
    return [some or every for some, every in zip(whole, found, strict=True)]


def parts_of(record: QueryRecord, windows: pl.DataFrame) -> dict[tuple[str, str], float]:
    """Return the mean seconds of the windows' completed requests, by operator and part."""
    means = mean_parts(record.operators.lazy(), windows.lazy()).collect()
    rows = means.iter_rows(named=True)
    return {(row["operator"], part): row[part] for row in rows for part in PARTS}


def missed_by(window: Row) -> str:
    """Return why most requests missed the bound: a key of ``ENDS``, or ``LATE``."""
    missed = {end: window[end] for end in ENDS}
    missed[LATE] = window["completed"] - window["good"]
    return max(missed, key=lambda end: missed[end])


def why_late(record: QueryRecord, windows: pl.DataFrame) -> str:
    """Return why windows missed the latency bound: the most frequent outcome of requests.

    If that outcome is late completion, the reason is the part of latency that grew most compared
    with windows that met the bound, or the longest part if no window met it.
    """
    whole = windows.select("requests", "completed", "good", *ENDS).sum().row(0, named=True)
    end = missed_by(whole)
    if end != LATE:
        return f"{whole[end]:,} of {count(whole['requests'], 'request')} {ENDS[end]}"
    slow = parts_of(record, windows)
    good = record.windows.filter(pl.col("latency_met") & ~pl.col("repeated"))
    usual = parts_of(record, good)
    if not slow:
        return "its requests were late"
    if usual:
        most = max(slow, key=lambda each: slow[each] - usual[each])
        return (
            f"{named(*most)}, {seconds(slow[most])} on average against {seconds(usual[most])} in "
            "windows that were in time"
        )
    most = max(slow, key=lambda each: slow[each])
    return f"{named(*most)}, {seconds(slow[most])} of {seconds(fsum(slow.values()))} on average"


def named(operator: str, part: str) -> str:
    """Return an operator's part of the latency in words."""
    if part == "transfer":
        return "transfer of the answer" if operator == "answer" else f"transfer to {operator}"
    return f"{part} at {operator}"


def seconds(time_s: float) -> str:
    """Return a time with its unit, with about three digits."""
    if isinf(time_s):
        return "infinity"
    if abs(time_s) < 0.1:
        return f"{1e3 * time_s:.3g} ms"
    return f"{time_s:,.0f} s" if abs(time_s) >= 100 else f"{time_s:.3g} s"


def merged_offers(offers: pl.DataFrame) -> list[dict[str, Any]]:
    """Return one row per plan and planning call, with all ``roles`` and the last reason."""
    short: dict[tuple[float, str], dict[str, Any]] = {}
    for row in offers.iter_rows(named=True):
        key = row["triggered_s"], row["plan"]
        before = short.get(key, {"roles": (), "reason": None})
        again = row["role"] in before["roles"]
        roles = before["roles"] if again else (*before["roles"], row["role"])
        short[key] = row | {"roles": roles, "reason": row["reason"] or before["reason"]}
    return sorted(short.values(), key=lambda row: row["at_s"])


def role_of(roles: Sequence[str]) -> str:
    """Return the most important role of a plan: chosen, refused, or else the last one."""
    for role in (CHOSEN, REFUSED):
        if role in roles:
            return role
    return str(roles[-1])


def offer_of(record: QueryRecord, order: Row) -> Row | None:
    """Return a requested plan's last offer before the request; None if no offer was logged."""
    known = record.offers.filter(
        (pl.col("plan") == order["plan"]) & (pl.col("triggered_s") <= order["triggered_s"])
    )
    chosen = known.filter(pl.col("role") == CHOSEN)
    frame = chosen if chosen.height else known
    return frame.row(-1, named=True) if frame.height else None


def profile_of(record: QueryRecord, order: Row) -> Row | None:
    """Return a requested configuration's last profiling run, for the query or its data set."""
    own = record.profiling.filter(pl.col("at_s") <= order["decided_s"])
    for frame in (own, record.offline):
        runs = frame.filter(pl.col("configuration") == order["configuration"])
        if runs.height:
            return runs.row(-1, named=True)
    return None


def measurements(profiling: pl.DataFrame) -> list[dict[str, Any]]:
    """Merge consecutive profiling runs that added items to the same configuration.

    A merged row has the last measurement, the sum of the costs, the first run's value of
    ``prefix_reused``, and the number of ``runs``.
    """
    found: list[dict[str, Any]] = []
    for run in profiling.iter_rows(named=True):
        before = found[-1] if found else None
        if (
            before is not None
            and run["configuration"] == before["configuration"]
            and run["samples"] > before["samples"]
        ):
            costs = {key: before[key] + run[key] for key in ("charged_s", "device_s")}
            reused = {"prefix_reused": before["prefix_reused"]}
            found[-1] = run | costs | reused | {"runs": before["runs"] + 1}
        else:
            found.append(run | {"runs": 1})
    return found


def last_runs(profiling: pl.DataFrame) -> Iterator[Row]:
    """Yield each configuration's last profiling run, in the order of their first runs."""
    last = profiling.group_by("configuration", maintain_order=True).last()
    yield from last.iter_rows(named=True)


def half_width(run: Row) -> float:
    """Return half the width of a run's 95 % t-interval of accuracy; nan for fewer than 2 items."""
    count = run["samples"]
    if count < 2:
        return nan
    return student_t(count) * sqrt(run["accuracy_variance"] / count)


def answer(record: QueryRecord) -> str:
    """Return one sentence on why a query got its plan, and how the plan performed."""
    if not record.deployment_intervals:
        alive_s = record.query_row["departure_s"] - record.arrival_s
        end = "it left" if record.closed else "the end of the tables"
        return (
            f"Query {record.query}: no plan became active in the {seconds(alive_s)} until {end}: "
            f"{_why_not(record)}."
        )
    first = record.deployment_intervals[0]
    since = _since(record, first.order)
    parts = [
        f"deployed {first.order['plan']} {seconds(first.start_s - record.arrival_s)} after its "
        f"arrival{f' {since}' if since else ''}"
    ]
    if later := len(record.deployment_intervals) - 1:
        parts.append(f"changed plans {times(later)} later")
    if active_s := float(record.windows["active_s"].sum()):
        met_s = goodput_time(record.windows["met"], record.windows["deployed_s"]).sum()
        parts.append(f"met its SLO {100 * (float(met_s) / active_s):.0f} % of the time")
    else:
        parts.append("none of its windows was judged")
    if failures := _failures(record):
        parts.append(failures)
    return f"Query {record.query}: {'; '.join(parts)}."


def _since(record: QueryRecord, order: Row) -> str:
    """Return a clause with "because" or "although" on what was believed about a requested plan."""
    offer = offer_of(record, order)
    if offer is not None:
        reason = f' ("{offer["reason"]}")' if offer["reason"] else ""
        return f"{_believed(record, offer)}{reason}"
    profile = profile_of(record, order)
    if profile is None or record.floor is None:
        return ""
    measured = profile["accuracy_mean"]
    whose = "" if profile["query"] is not None else f" of {profile['dataset']}"
    word = "because" if reaches(measured, record.floor) else "although"
    return (
        f"{word} its configuration had accuracy {measured:.3f} "
        f"on {profile['samples']:,} items{whose}, against a floor of {record.floor:.3f}"
    )


def _believed(record: QueryRecord, offer: Row) -> str:
    in_time = record.bound_s is None or offer["latency_s"] <= record.bound_s
    bound = "" if record.bound_s is None else f" (bound {seconds(record.bound_s)})"
    floor = "" if record.floor is None else f" (floor {record.floor:.3f})"
    feasible = in_time and reaches(offer["accuracy"], record.floor)
    return (
        f"{'because' if feasible else 'although'} it was believed to take "
        f"{seconds(offer['latency_s'])}{bound} at accuracy {offer['accuracy']:.3f}{floor}"
    )


def _failures(record: QueryRecord) -> str:
    """Return a clause on the failed windows, grouped by part of the SLO and kind of lateness."""
    alike: dict[tuple[str, str], list[int]] = {}
    for window in record.windows.iter_rows(named=True):
        for part in failed_parts(window):
            how = missed_by(window) if part == LATENCY else ""
            alike.setdefault((part, how), []).append(window["window"])
    clauses = []
    for (part, _), numbers in alike.items():
        windows = record.windows.filter(pl.col("window").is_in(numbers))
        why = ""
        if part == LATENCY:
            why = f" ({why_late(record, windows)})"
        elif part == ACCURACY:
            served = windows.filter(pl.col("completed") > 0)
            mean = float((served["accuracy"] * served["completed"]).sum())
            mean /= int(served["completed"].sum())
            floor = "" if record.floor is None else f", floor {record.floor:.3f}"
            why = f" (true {mean:.3f}{floor})"
        clauses.append(f"{part} in window{'s' * (len(numbers) > 1)} {window_ranges(numbers)}{why}")
    return f"failed on {listed(clauses)}" if clauses else ""


def _why_not(record: QueryRecord) -> str:
    deployed = record.decisions.filter(pl.col("outcome").is_in([DEPLOYED, ENDED]))
    if deployed.height:
        last = deployed.row(-1, named=True)
        if last["outcome"] == ENDED:
            return f"the ordered plan had not loaded its models when {last['reason']}"
        return "the models of the ordered plan were still loading"
    refused = record.decisions.filter(pl.col("outcome") == REFUSED)
    if refused.height:
        last = refused.row(-1, named=True)
        orders = "its only order" if refused.height == 1 else f"all {refused.height:,} orders"
        return f"the cluster refused {orders}, last {last['plan']} ({last['reason']})"
    reasons = record.offers["reason"].drop_nulls()
    if len(reasons):
        return f"the planner ordered none; its last reason: {str(reasons[-1]).rstrip('.')}"
    saw = _what_it_considered(record) if record.offers.height else _what_it_measured(record)
    return f"the planner ordered none; {saw}"


def _what_it_considered(record: QueryRecord) -> str:
    """Return a clause on how many logged plans were believed to be feasible, late or inaccurate."""
    offers = {row["plan"]: row for row in record.offers.iter_rows(named=True)}.values()
    late = [record.bound_s is not None and row["latency_s"] > record.bound_s for row in offers]
    poor = [not reaches(row["accuracy"], record.floor) for row in offers]
    good = sum(not (a or b) for a, b in zip(late, poor, strict=True))
    return (
        f"of {count(len(offers), 'considered plan')}, {good:,} were believed to be in time and "
        f"accurate enough, {sum(late):,} to be late and {sum(poor):,} to be too inaccurate"
    )


def _what_it_measured(record: QueryRecord) -> str:
    """Return a clause on what a planner that requested no plan had measured."""
    last = list(last_runs(record.profiling))
    where = ""
    if not last and record.offline.height:
        last = list(last_runs(record.offline))
        where = f" in advance on {record.query_row['dataset']}"
    if not last:
        return "nothing was profiled for it"
    if record.floor is None:
        were = "was" if len(last) == 1 else "were"
        return f"{count(len(last), 'configuration')} {were} profiled{where}"
    passed = sum(reaches(row["accuracy_mean"], record.floor) for row in last)
    truly = sum(reaches(row["true_accuracy"], record.floor) for row in last)
    return (
        f"of {count(len(last), 'configuration')} profiled{where}, {passed:,} reached the floor of "
        f"{record.floor:.3f} by the measurement and {truly:,} in truth"
    )
