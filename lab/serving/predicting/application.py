"""Writes a calibrated pipeline as an application, so that planners can plan it.

What differs from a prediction of `lab.serving.predicting.prediction`: the queues and batches are
those of the simulated world, not of Ray Serve, and users reach the host over a network. The
engine's time between batches counts as part of a batch, and its delays on the way are left out.
"""

from collections.abc import Mapping, Sequence
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from lab.serving.observation import Observation
from lab.serving.predicting.service_tables import (
    ACCURACY,
    CORES,
    ENGINE,
    HOST,
    TIMES,
    ServiceTables,
    served_operators,
    setting_of_all,
)
from scenarios.numerics.distributions import MOST_CV

ALL_ALIKE = "as_served"
"""Name of the configuration if there is only one."""
KNOB = "configuration"
REQUESTS_PER_S = 0.5
"""Requests per second of one user; more users send more."""
LIFETIME_S = 600.0
MESSAGE_BYTES = 1000.0
"""Size of what is sent between operators, which no observation tells; they share a host."""
REPLICAS_PER_CORE = 4
LATENCY_FACTOR = 5.0
"""The latency bound, in multiples of the time that a request takes alone."""
CLIENT = "client"
"""The device of all users."""
CLIENT_SPEED = 1e-3
"""Its speed in multiples of a Raspberry Pi 4: so slow that planners run nothing on it, because no
operator ran on clients in the observations."""
PRICE_USD_PER_HOUR = 0.05
"""Price of the host; it has one, because planners minimise the cost."""
_ASSUMED = {
    "kind": "assumption",
    "source": "compass-lab calibrate",
    "source_url": None,
    "note": "placeholder",
}
"""The columns on the origin of the rows that this module adds to tables of the hardware."""
WIDE = 0.95
"""The largest standard deviation of accuracy, relative to the largest possible for its mean."""


def write_application(
    observations: Sequence[Observation], tables: ServiceTables, directory: Path
) -> str:
    """Write an application, a cluster, an experiment and their tables; return their name.

    A configuration is a setting of all operators that was observed. ``directory`` is for the option
    ``--config-dir`` of ``compass-sim``.
    """
    name = str(observations[0].description["pipeline"]["name"] or "served")
    place = directory.resolve() / "tables"
    place.mkdir(parents=True, exist_ok=True)
    named = _configurations(observations, tables)
    for of_table, frame in _tables(tables, named).items():
        frame.write_csv(place / f"{of_table}.csv", float_precision=9)
    accurate = (tables[ACCURACY]["requests"] > 0).any()
    alone_s = _alone_s(tables, named)
    trees = {
        "application": _application(name, place, observations, tables, named, accurate, alone_s),
        # The operators have the spread that was measured, on the only host that there is.
        "cluster": {"nodes": {"edge": _node(tables)}, "service_cv": 0.0, "speed_log_sd": 0.0},
        "experiment": _experiment(name, place, observations),
    }
    told = {
        "application": "made by compass-lab calibrate; the classes of service are placeholders",
        "cluster": "the host that was observed; its price is a placeholder",
        "experiment": "@package _global_",
    }
    for group, tree in trees.items():
        path = directory / group / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100)
        path.write_text(f"# {told[group]}\n{text}", encoding="utf-8")
    return name


def _configurations(
    observations: Sequence[Observation], tables: ServiceTables
) -> dict[str, dict[str, str]]:
    """Return the settings of all operators by the name of each configuration, the best first."""
    found = {}
    for each in observations:
        operators = served_operators(each)
        found[setting_of_all(operators)] = operators
    knobs = {
        (name, key): {str(each[name].knobs.get(key)) for each in found.values()}
        for operators in found.values()
        for name, operator in operators.items()
        for key in operator.knobs
    }
    several = [which for which, values in knobs.items() if len(values) > 1]
    accuracy = dict(tables[ACCURACY].select("settings", "accuracy").iter_rows())
    named = {}
    for setting, operators in found.items():
        words = [f"{name}.{key}={operators[name].knobs.get(key)}" for name, key in several]
        settings = {name: operator.setting for name, operator in operators.items()}
        named[", ".join(words) or ALL_ALIKE] = settings, accuracy.get(setting, 0.0)

    def place(one: str) -> tuple[float, float]:
        settings, right = named[one]
        return -right, -fsum(tables.times_s(name, each, 1)[0] for name, each in settings.items())

    return {each: named[each][0] for each in sorted(named, key=place)}


def _tables(
    tables: ServiceTables, named: Mapping[str, Mapping[str, str]]
) -> dict[str, pl.DataFrame]:
    services, found, accuracies = [], {}, []
    known = {row[0]: row[1:] for row in tables[ACCURACY].iter_rows()}
    for configuration, settings in named.items():
        row: dict[str, Any] = {KNOB: configuration}
        for name in settings:
            row[f"{name}_s"] = batch_times_s(tables, named, name)[configuration][0]
        services.append(row)
        text = "; ".join(f"{name}: {each or '-'}" for name, each in settings.items())
        mean, sd = known.get(text, (1.0, 0.0, 0))[:2]
        widest = np.sqrt(mean * (1 - mean))
        accuracies.append({KNOB: configuration, "mean": mean, "sd": min(sd, WIDE * widest)})
    found["services"], found["accuracies"] = pl.DataFrame(services), pl.DataFrame(accuracies)
    for name in next(iter(named.values())):
        rows = [
            {KNOB: configuration, "batch": size, "time_s": time_s}
            for configuration, times_s in batch_times_s(tables, named, name).items()
            for size, time_s in enumerate(times_s, 1)
        ]
        found[f"{name}_batches"] = pl.DataFrame(rows)
    found["prices"], found["device_models"] = _price(tables), _client()
    return found


def batch_times_s(
    tables: ServiceTables, named: Mapping[str, Mapping[str, str]], operator: str
) -> dict[str, list[float]]:
    """Return the times of an operator's batches by configuration, with what the engine adds.

    They go up to the largest size that was measured in each configuration.
    """
    settings = {each[operator] for each in named.values()}
    rows = tables[TIMES].filter(pl.col("operator") == operator, pl.col("setting").is_in(settings))
    most = int(rows.group_by("setting").agg(pl.col("batch").max())["batch"].min())  # type: ignore[arg-type]
    engine = tables[ENGINE].filter(operator=operator).row(0, named=True)
    added = [
        engine["occupied_per_batch_s"] + size * engine["occupied_per_request_s"]
        for size in range(1, most + 1)
    ]
    return {
        configuration: [
            fsum(each)
            for each in zip(tables.times_s(operator, its[operator], most), added, strict=True)
        ]
        for configuration, its in named.items()
    }


def _alone_s(tables: ServiceTables, named: Mapping[str, Mapping[str, str]]) -> float:
    """Return the time of a lone request on the host, in the slowest configuration."""
    slowdown = tables[CORES].sort("jobs")["slowdown"][0] * tables[HOST]["stolen"][0]
    operators = next(iter(named.values()))
    times_s = [batch_times_s(tables, named, name) for name in operators]
    slowest_s = max(fsum(each[configuration][0] for each in times_s) for configuration in named)
    return float(slowest_s * slowdown)


def _application(
    name: str,
    place: Path,
    observations: Sequence[Observation],
    tables: ServiceTables,
    named: Mapping[str, Mapping[str, str]],
    accurate: bool,
    alone_s: float,
) -> dict[str, Any]:
    operators: dict[str, Any] = {}
    for operator in next(iter(named.values())):
        first = not operators
        # Of the work: what else spreads times, such as other jobs, is part of the simulated host.
        times = tables[TIMES].filter(operator=operator).with_columns(pl.col("batches").fill_null(1))
        spread = float(np.average(times["cv"], weights=times["batches"]))
        operators[operator] = {
            "kind": "cpu",
            "knobs": {KNOB: list(named)} if first else {},
            "service_time_s": f"services.{operator}_s",
            "service_cv": round(min(spread, MOST_CV), 4),
            "message_bytes": _mean_bytes(observations, "bytes_out") if first else MESSAGE_BYTES,
            "batch_time": "average",
        }
        if len(next(iter(batch_times_s(tables, named, operator).values()))) > 1:
            operators[operator]["batch_factor"] = f"{operator}_batches.time_s"
    tier: dict[str, Any] = {"latency_s": round(LATENCY_FACTOR * alone_s, 3)}
    tier |= {"accuracy_of_best": 0.8} if accurate else {}
    spread_of_items = "accuracies.sd" if accurate and _all_spread(tables) else "success"
    return {
        "_target_": "scenarios.declaration.DeclaredApplication",
        "name": name,
        "tables": str(place),
        "requests_per_s": REQUESTS_PER_S,
        "interarrival": "poisson",
        "answer_bytes": _mean_bytes(observations, "bytes_in"),
        "operators": operators,
        "accuracy": {"rule": "product", "factors": "accuracies.mean", "spread": spread_of_items},
        "datasets": {"observed": {}},
        "tiers": {"prompt": tier},
    }


def _all_spread(tables: ServiceTables) -> bool:
    return bool((tables[ACCURACY]["accuracy_sd"] > 0).all())


def _mean_bytes(observations: Sequence[Observation], column: str) -> float:
    seen = [each.requests[column] for each in observations if column in each.requests.columns]
    mean = pl.concat(seen).drop_nulls().mean() if seen else None
    return round(float(mean), 1) if isinstance(mean, int | float) else MESSAGE_BYTES


def _machine(tables: ServiceTables) -> str:
    return f"observed host with {tables[HOST]['cores'][0]} cores"


def _node(tables: ServiceTables) -> dict[str, Any]:
    [stolen] = tables[HOST]["stolen"]
    slowdown = tables[CORES].sort("jobs")["slowdown"] * stolen
    return {
        "tier": "edge",
        "machine": _machine(tables),
        "count": 1,
        "standby": 1,
        "replicas_per_core": REPLICAS_PER_CORE,
        "core_slowdown": [round(each, 6) for each in slowdown.to_list()],
    }


def _price(tables: ServiceTables) -> pl.DataFrame:
    row = {
        "item": _machine(tables),
        "purchase": "on-demand",
        "region": "us-central1",
        "date": "2026-01-01",
        "gpu": None,
        "gpus": 0,
        "vcpus": int(tables[HOST]["cores"][0]),
        "ram_gb": None,
        "price_usd_per_hour": PRICE_USD_PER_HOUR,
        "unit": "USD/hour (whole machine)",
        **_ASSUMED,
    }
    return pl.DataFrame([row])


def _client() -> pl.DataFrame:
    row = {
        "name": CLIENT,
        "family": CLIENT,
        "chip": None,
        "device": CLIENT,
        "relative_speed": CLIENT_SPEED,
        "n_models": 1,
        "memory_bytes": 2**30,
        "memory_kind": "assumption",
        "accelerator": None,
        "unit": "x of Raspberry Pi 4 CPU; bytes",
        **_ASSUMED,
    }
    return pl.DataFrame([row])


def _experiment(name: str, place: Path, observations: Sequence[Observation]) -> dict[str, Any]:
    rates = [each.description["rate_per_s"] for each in observations]
    # The rate of a single request is unknown.
    least_per_s = min((each for each in rates if each is not None), default=REQUESTS_PER_S)
    return {
        "defaults": [
            {"override /application": name},
            {"override /cluster": name},
            {"override /network": "wifi"},
            {"override /data_plane": "events"},
        ],
        "horizon_s": 1800.0,
        "tables": {each: str(place / f"{each}.csv") for each in ("prices", "device_models")},
        "workload": {
            "devices": {"phone": 0.0, CLIENT: 1.0},
            "rate": round(least_per_s / REQUESTS_PER_S / LIFETIME_S, 6),
            "lifetime_mean_s": LIFETIME_S,
        },
    }
