"""What an animation shows, as compact JSON: queries, machines and slots over time.

Times are simulated seconds, rounded to `DIGITS` digits. Names occur once, in lists that the rest
refers to by index.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from hardware_models.gpu import mig
from lab.reporting.explain.record import deployment_intervals
from sim.metrics.goodput_time import goodput_time

TABLES = ("queries", "windows", "decisions", "allocations", "machines")
DIGITS = 1
MOST_QUERIES = 2_000
"""Largest number of queries that are drawn; dots of more would overlap."""
PARTS = ("latency_met", "accuracy_met", "cost_met")

Scene = dict[str, Any]
Span = tuple[float, float]


def scene(
    tables: Mapping[str, pl.DataFrame],
    title: str,
    horizon_s: float,
    events: Sequence[tuple[str, float]] = (),
) -> Scene:
    """Return what an animation of a run shows.

    Args:
        tables: the tables of the run named in `TABLES`; of the queries, the first `MOST_QUERIES`
            are shown.
        title: name of the run.
        horizon_s: length of the run in simulated seconds.
        events: kind and time in seconds of each drift event.
    """
    queries = tables["queries"].sort("query").head(MOST_QUERIES)
    shown = {name: tables[name].join(queries, on="query", how="semi") for name in _OF_QUERIES}
    of = {name: _by_query(frame) for name, frame in shown.items()}
    machines = tables["machines"].sort("node", "machine", "from_s")
    names = [f"{one['node']} {one['machine']}" for one in machines.iter_rows(named=True)]
    places = {name: at for at, name in enumerate(dict.fromkeys(names))}
    return {
        "title": title,
        "horizon": horizon_s,
        "left_out": tables["queries"].height - queries.height,
        "queries": [
            _query(
                one,
                of["windows"].get(one["query"], shown["windows"].clear()),
                of["decisions"].get(one["query"], shown["decisions"].clear()),
            )
            for one in queries.iter_rows(named=True)
        ],
        "machines": _machines(machines, places),
        "slots": list(_slots(shown["allocations"], machines, places)),
        "goodput": _goodput(tables["windows"], horizon_s),
        "events": [[kind, _rounded(at_s)] for kind, at_s in events],
    }


_OF_QUERIES = ("windows", "decisions", "allocations")


def _by_query(frame: pl.DataFrame) -> dict[int, pl.DataFrame]:
    parts = frame.partition_by("query", as_dict=True, maintain_order=True)
    return {number: part for (number,), part in parts.items()}


def _query(one: Mapping[str, Any], windows: pl.DataFrame, decisions: pl.DataFrame) -> Scene:
    """Return what is shown of a query; the spans of a kind are in order of time."""
    from_s, to_s = one["arrival_s"], one["departure_s"]
    orders = decisions.sort("decided_s", "triggered_s", maintain_order=True)
    served = [(one.start_s, one.end_s) for one in deployment_intervals(orders, to_s)]
    ordered = list(orders.iter_rows(named=True))
    slo = {
        "latency_s": one["slo_latency_s"],
        "accuracy": one["slo_accuracy"],
        "cost_usd_per_hour": one["slo_cost_usd_per_hour"],
    }
    return {
        "id": one["query"],
        "span": [_rounded(from_s), _rounded(to_s)],
        "about": [one[name] for name in ("tier", "dataset", "device", "technology")],
        "slo": {name: round(value, 4) for name, value in slo.items() if value is not None},
        "planned": _rounded_spans(
            (row["triggered_s"], row["decided_s"])
            for row in ordered
            if row["charged_s"] is not None
        ),
        "served": _rounded_spans(served),
        "refused": [_rounded(row["decided_s"]) for row in ordered if row["outcome"] == "refused"],
        # Time of the end, whether the SLO was met, and which parts of it were, as bits.
        "judged": [
            [_rounded(row["end_s"]), int(row["met"]), _bits(row[part] for part in PARTS)]
            for row in windows.sort("window").iter_rows(named=True)
        ],
        "orders": [
            [_rounded(row["decided_s"]), row["outcome"], row["plan"] or row["reason"] or ""]
            for row in ordered
        ],
    }


def _machines(rentals: pl.DataFrame, places: Mapping[str, int]) -> list[Scene]:
    """Return the machines, each with its rentals: from, ready, to."""
    found: list[Scene] = [{} for _ in places]
    for row in rentals.iter_rows(named=True):
        name = f"{row['node']} {row['machine']}"
        one = found[places[name]]
        if not one:
            one |= {"name": name, "tier": row["tier"], "type": row["type"], "cores": row["cores"]}
            one |= {"gpus": row["gpus"], "gpu": row["gpu_model"], "rented": []}
            one["slices"] = _size_of(row["gpu_model"]) if row["gpus"] else 0
        one["rented"].append([_rounded(row[each]) for each in ("from_s", "ready_s", "to_s")])
    return found


def _slots(
    held: pl.DataFrame, rentals: pl.DataFrame, places: Mapping[str, int]
) -> Iterator[list[Any]]:
    """Yield who held which slot, and when.

    A row has machine, card, first slice, slices, profile, operator, query, from, ready, to. A core
    has card -1.
    """
    models = dict(zip(rentals["node"], rentals["gpu_model"], strict=True))
    for row in held.sort("from_s", "query", "station", "replica").iter_rows(named=True):
        place = places.get(f"{row['node']} {row['machine']}")
        if place is None:  # The run did not finish, so the rental has no row yet.
            continue
        card = -1 if row["card"] is None else row["card"]
        size = 0 if card < 0 else _size_of(models[row["node"]], row["profile"])
        times = [_rounded(row[each]) for each in ("from_s", "ready_s", "to_s")]
        part = [card, row["first_slice"] or 0, size, row["profile"], row["operator"]]
        yield [place, *part, row["query"], *times]


def _size_of(board: str, profile: str | None = None) -> int:
    """Return how many memory slices a card or an instance has; 1 for a board that is not known."""
    if board not in mig.boards():
        return 1
    known = mig.profiles(board)
    if profile is None:
        return max(max(one.start_indexes) + one.size for one in known.values())
    return known[profile].size if profile in known else 1


def _goodput(windows: pl.DataFrame, horizon_s: float) -> list[list[float]]:
    """Return each window's start and end, and the means of active and of well-served queries."""
    sums = (
        windows.group_by("window")
        .agg(
            pl.col("start_s", "end_s").first(),
            pl.col("active_s").sum(),
            good_s=goodput_time(pl.col("met"), pl.col("deployed_s")).sum(),
        )
        .sort("window")
    )
    rows = []
    for row in sums.iter_rows(named=True):
        length_s = min(row["end_s"], horizon_s) - row["start_s"]
        rows.append(
            [_rounded(row["start_s"]), _rounded(row["end_s"])]
            + [round(row[name] / length_s, 3) for name in ("active_s", "good_s")]
        )
    return rows


def _bits(flags: Iterable[bool]) -> int:
    return sum(bool(flag) << at for at, flag in enumerate(flags))


def _rounded(time_s: float) -> float:
    return round(time_s, DIGITS)


def _rounded_spans(spans: Iterable[Span]) -> list[list[float]]:
    return [[_rounded(from_s), _rounded(to_s)] for from_s, to_s in spans]
