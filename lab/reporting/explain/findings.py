"""What the rows of a query mean: which windows failed on what, why, and what was believed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isinf, nan, sqrt
from typing import Any

import polars as pl

from lab.analysis.run_data import PARTS, mean_parts
from lab.analysis.statistics import student_t
from lab.common.formatting import count, listed
from lab.reporting.explain.record import QueryRecord
from sim.metrics.goodput_time import goodput_time

Row = Mapping[str, Any]

LATENCY, ACCURACY, COST = "latency", "accuracy", "cost"
CHOSEN, REFUSED = "chosen", "refused"  # roles of offers; the latter an outcome of orders too
DEPLOYED, ENDED = "deployed", "ended"
LATE = "late"
NO_PLAN = "no plan in force"
# What a request that missed its bound came to, and how that is said.
ENDS = {
    "unserved": "unserved, born while no plan was in force",
    "dropped": "dropped at a full queue or a drain",
    "shed": "shed when their deadline had come",
    "lost": "lost with a machine",
}


def failed_parts(window: Row) -> tuple[str, ...]:
    """Return the parts of the SLO that a window failed on.

    It has none if it repeats another, and cannot fail on accuracy if nothing was completed.
    """
    if window["met"] or window["repeated"]:
        return ()
    met = {part: window[f"{part}_met"] for part in (LATENCY, ACCURACY, COST)}
    if not window["completed"]:
        met[ACCURACY] = True
    return tuple(part for part, held in met.items() if not held)


def verdict(window: Row) -> str:
    """Return what became of a window, in a few words."""
    if window["repeated"]:
        return f"no requests; as before, {'met' if window['met'] else 'not met'}"
    if window["met"]:
        return "met"
    if not window["completed"]:
        return "nothing served" if window["deployed_s"] else NO_PLAN
    return f"failed on {' and '.join(failed_parts(window))}"


def met_fraction(windows: pl.DataFrame) -> float | None:
    """Return time with the SLO met over time alive; None without windows."""
    active_s = float(windows["active_s"].sum())
    met_s = float(goodput_time(windows["met"], windows["deployed_s"]).sum())
    return met_s / active_s if active_s else None


def window_ranges(numbers: Iterable[int]) -> str:
    """Return numbers of windows as ``"3-5 and 8"``."""
    ranges = []
    for _, run in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        last = f"-{members[-1]}" if len(members) > 1 else ""
        ranges.append(f"{members[0]}{last}")
    return listed(ranges)


def windows_of(record: QueryRecord) -> list[list[Row]]:
    """Return the windows with requests of each deployment: those served whole, or else mostly."""
    found: list[list[Row]] = [[] for _ in record.deployment_intervals]
    for window in record.windows.iter_rows(named=True):
        overlaps_s = [
            min(window["end_s"], spell.end_s) - max(window["start_s"], spell.start_s)
            for spell in record.deployment_intervals
        ]
        if not window["repeated"] and max(overlaps_s, default=0.0) > 0:
            found[overlaps_s.index(max(overlaps_s))].append(window)
    whole = [[row for row in rows if row["deployed_s"] >= row["active_s"]] for rows in found]
    return [some or every for some, every in zip(whole, found, strict=True)]


@dataclass(frozen=True)
class Share:
    """Mean seconds of a completed request that one thing took."""

    operator: str  # name of the operator, or `answer`
    part: str  # `queueing`, `batching`, `compute` or `transfer`
    time_s: float


def parts_of(record: QueryRecord, windows: pl.DataFrame) -> list[Share]:
    """Return where the latency of some windows went, weighted by completed requests."""
    means = mean_parts(record.operators.lazy(), windows.lazy()).collect()
    return [
        Share(row["operator"], part, row[part])
        for row in means.iter_rows(named=True)
        for part in PARTS
    ]


def missed_by(window: Row) -> str:
    """Return what most requests came to that missed the bound: a key of ``ENDS``, or ``LATE``."""
    missed = {end: window[end] for end in ENDS}
    missed[LATE] = window["completed"] - window["good"]
    return max(missed, key=lambda end: missed[end])


def why_late(record: QueryRecord, windows: pl.DataFrame) -> str:
    """Return in a few words why windows failed on latency: the most frequent end of their requests.

    If they were late, it is the part that grew most against windows in time, or else took longest.
    """
    whole = windows.select("requests", "completed", "good", *ENDS).sum().row(0, named=True)
    end = missed_by(whole)
    if end != LATE:
        return f"{whole[end]:,} of {count(whole['requests'], 'request')} {ENDS[end]}"
    slow = parts_of(record, windows)
    good = record.windows.filter(pl.col("latency_met") & ~pl.col("repeated"))
    usual = {(each.operator, each.part): each.time_s for each in parts_of(record, good)}
    if not slow:
        return "its requests were late"
    if usual:
        most = max(slow, key=lambda each: each.time_s - usual[each.operator, each.part])
        before_s = usual[most.operator, most.part]
        return (
            f"{named(most)}, {seconds(most.time_s)} on average against {seconds(before_s)} in "
            "windows in time"
        )
    most = max(slow, key=lambda each: each.time_s)
    whole_s = sum(each.time_s for each in slow)
    return f"{named(most)}, {seconds(most.time_s)} of {seconds(whole_s)} on average"


def named(share: Share) -> str:
    """Return what took the time, in words."""
    if share.part == "transfer":
        return "the way back" if share.operator == "answer" else f"transfer to {share.operator}"
    return f"{share.part} at {share.operator}"


def seconds(time_s: float) -> str:
    """Return a time with its unit, to three digits or so."""
    if isinf(time_s):
        return "for ever"
    if abs(time_s) < 0.1:
        return f"{1e3 * time_s:.3g} ms"
    return f"{time_s:,.0f} s" if abs(time_s) >= 100 else f"{time_s:.3g} s"


def offers_in_short(offers: pl.DataFrame) -> list[dict[str, Any]]:
    """Return one row per plan and planning call, with all the roles that it had in ``roles``.

    What was believed last counts, and of the reasons the last one given. They are in order of time.
    """
    short: dict[tuple[float, str], dict[str, Any]] = {}
    for row in offers.iter_rows(named=True):
        key = row["triggered_s"], row["plan"]
        before = short.get(key, {"roles": (), "reason": None})
        again = row["role"] in before["roles"]
        roles = before["roles"] if again else (*before["roles"], row["role"])
        short[key] = row | {"roles": roles, "reason": row["reason"] or before["reason"]}
    return sorted(short.values(), key=lambda row: row["at_s"])


def role_of(roles: Sequence[str]) -> str:
    """Return the role that tells most of a plan that had several."""
    for role in (CHOSEN, REFUSED):
        if role in roles:
            return role
    return str(roles[-1])


def offer_of(record: QueryRecord, order: Row) -> Row | None:
    """Return what was last believed of an ordered plan when it was ordered, if it is on record."""
    known = record.offers.filter(
        (pl.col("plan") == order["plan"]) & (pl.col("triggered_s") <= order["triggered_s"])
    )
    chosen = known.filter(pl.col("role") == CHOSEN)
    frame = chosen if chosen.height else known
    return frame.row(-1, named=True) if frame.height else None


def profile_of(record: QueryRecord, order: Row) -> Row | None:
    """Return the last profiling run of an order's configuration, of the query or its data set."""
    own = record.profiling.filter(pl.col("at_s") <= order["decided_s"])
    for frame in (own, record.offline):
        runs = frame.filter(pl.col("configuration") == order["configuration"])
        if runs.height:
            return runs.row(-1, named=True)
    return None


def measurements(profiling: pl.DataFrame) -> list[dict[str, Any]]:
    """Return profiling runs, merging consecutive ones that added items to one configuration.

    The last run's measurement, the sum of the costs, the first run's reuse, and the number of
    ``runs``.
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
    """Yield the last profiling run of each configuration, in order of their first ones."""
    last = profiling.group_by("configuration", maintain_order=True).last()
    yield from last.iter_rows(named=True)


def half_width(run: Row) -> float:
    """Return half the 95 % t-interval of a run's mean accuracy; nan below two items."""
    count = run["samples"]
    if count < 2:
        return nan
    return student_t(count) * sqrt(run["accuracy_variance"] / count)
