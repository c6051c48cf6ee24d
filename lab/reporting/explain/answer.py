"""One sentence on why a query got the plan that it got, and how that went."""

import polars as pl

from lab.common.formatting import count, listed
from lab.reporting.explain.findings import (
    ACCURACY,
    DEPLOYED,
    ENDED,
    LATENCY,
    REFUSED,
    Row,
    failed_parts,
    last_runs,
    met_fraction,
    missed_by,
    offer_of,
    profile_of,
    seconds,
    why_late,
    window_ranges,
)
from lab.reporting.explain.record import QueryRecord
from sim.metrics.goodput import reaches


def answer(record: QueryRecord) -> str:
    """Return the sentence."""
    return _served(record) if record.deployment_intervals else _never_served(record)


def _served(record: QueryRecord) -> str:
    first = record.deployment_intervals[0]
    since = _since(record, first.order)
    parts = [
        f"deployed {first.order['plan']} {seconds(first.start_s - record.arrival_s)} after it "
        f"arrived{f' {since}' if since else ''}"
    ]
    if later := len(record.deployment_intervals) - 1:
        parts.append(f"changed plans {'once' if later == 1 else f'{later:,} times'} later")
    share = met_fraction(record.windows)
    if share is None:
        parts.append("no window of it was judged")
    else:
        parts.append(f"met its SLO {100 * share:.0f} % of the time")
    if failures := _failures(record):
        parts.append(failures)
    return f"Query {record.query}: {'; '.join(parts)}."


def _since(record: QueryRecord, order: Row) -> str:
    """Say why a plan was ordered, or what spoke against it: what was believed of it."""
    offer = offer_of(record, order)
    if offer is not None:
        reason = f' ("{offer["reason"]}")' if offer["reason"] else ""
        return f"{_believed(record, offer)}{reason}"
    profile = profile_of(record, order)
    if profile is None or record.floor is None:
        return ""
    measured = profile["accuracy_mean"]
    whose = "" if profile["query"] is not None else f" of {profile['dataset']}"
    return (
        f"{_word(reaches(measured, record.floor))} its configuration had accuracy {measured:.3f} "
        f"on {profile['samples']:,} items{whose}, against a floor of {record.floor:.3f}"
    )


def _believed(record: QueryRecord, offer: Row) -> str:
    in_time = record.bound_s is None or offer["latency_s"] <= record.bound_s
    bound = "" if record.bound_s is None else f" (bound {seconds(record.bound_s)})"
    floor = "" if record.floor is None else f" (floor {record.floor:.3f})"
    return (
        f"{_word(in_time and reaches(offer['accuracy'], record.floor))} it was believed to take "
        f"{seconds(offer['latency_s'])}{bound} at accuracy {offer['accuracy']:.3f}{floor}"
    )


def _word(feasible: bool) -> str:
    return "because" if feasible else "although"


def _failures(record: QueryRecord) -> str:
    """Say on what the windows failed, part by part, and latency for each reason that it had."""
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
            why = _how_inaccurate(record, windows)
        clauses.append(f"{part} in window{'s' * (len(numbers) > 1)} {window_ranges(numbers)}{why}")
    return f"failed on {listed(clauses)}" if clauses else ""


def _how_inaccurate(record: QueryRecord, windows: pl.DataFrame) -> str:
    served = windows.filter(pl.col("completed") > 0)
    mean = float((served["accuracy"] * served["completed"]).sum())
    mean /= int(served["completed"].sum())
    floor = "" if record.floor is None else f" of {record.floor:.3f}"
    return f" (truly {mean:.3f}{floor})"


def _never_served(record: QueryRecord) -> str:
    alive_s = record.asked["departure_s"] - record.arrival_s
    end = "it left" if record.closed else "the tables end"
    return (
        f"Query {record.query}: no plan came into force in the {seconds(alive_s)} until {end}: "
        f"{_why_not(record)}."
    )


def _why_not(record: QueryRecord) -> str:
    deployed = record.decisions.filter(pl.col("outcome").is_in([DEPLOYED, ENDED]))
    if deployed.height:
        last = deployed.row(-1, named=True)
        if last["outcome"] == ENDED:
            return f"the plan that was ordered had not loaded its models when {last['reason']}"
        return "the models of the plan that was ordered were still loading"
    refused = record.decisions.filter(pl.col("outcome") == REFUSED)
    if refused.height:
        last = refused.row(-1, named=True)
        orders = "its only order" if refused.height == 1 else f"all {refused.height:,} orders"
        return f"the cluster refused {orders}, last {last['plan']} ({last['reason']})"
    reasons = record.offers["reason"].drop_nulls()
    if len(reasons):
        return f"the planner ordered none, last since {str(reasons[-1]).rstrip('.')}"
    saw = _what_it_considered(record) if record.offers.height else _what_it_measured(record)
    return f"the planner ordered none; {saw}"


def _what_it_considered(record: QueryRecord) -> str:
    """Say how many plans on record were believed to be feasible, and what the others lacked."""
    offers = {row["plan"]: row for row in record.offers.iter_rows(named=True)}.values()
    late = [record.bound_s is not None and row["latency_s"] > record.bound_s for row in offers]
    poor = [not reaches(row["accuracy"], record.floor) for row in offers]
    good = sum(not (a or b) for a, b in zip(late, poor, strict=True))
    return (
        f"of {count(len(offers), 'plan')} that it considered, {good:,} were believed to be in time "
        f"and accurate, {sum(late):,} to be late and {sum(poor):,} to be too inaccurate"
    )


def _what_it_measured(record: QueryRecord) -> str:
    """Say what a planner that ordered nothing had measured."""
    last = list(last_runs(record.profiling))
    where = ""
    if not last and record.offline.height:
        last, where = list(last_runs(record.offline)), f" ahead on {record.asked['dataset']}"
    if not last:
        return "nothing was profiled for it"
    if record.floor is None:
        were = "was" if len(last) == 1 else "were"
        return f"{count(len(last), 'configuration')} {were} profiled{where}"
    passed = sum(reaches(row["accuracy_mean"], record.floor) for row in last)
    truly = sum(reaches(row["true_accuracy"], record.floor) for row in last)
    return (
        f"of {count(len(last), 'configuration')} profiled{where}, {passed:,} reached the floor of "
        f"{record.floor:.3f} as measured and {truly:,} truly"
    )
