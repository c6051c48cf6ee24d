"""The tools of ``compass-lab`` that predict a served pipeline from observations of it."""

import argparse
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import polars as pl

from lab.cli.arguments import number, whole
from lab.cli.options.serving import check_alone
from lab.common.console import say, show_rows, warn
from lab.common.errors import InputError, choices
from lab.serving.observation import Observation, read_observation
from lab.serving.pipeline import check_served
from lab.serving.predicting.application import write_application
from lab.serving.predicting.calibration import calibrate as calibrated
from lab.serving.predicting.comparison import (
    GOODPUT,
    Figures,
    cell_rows,
    cells,
    check_predicted,
    summary,
    worst_first,
)
from lab.serving.predicting.prediction import DESCRIPTION, Prediction
from lab.serving.predicting.prediction import predict as predicted
from lab.serving.predicting.service_tables import (
    CORES,
    ENGINE,
    HOST,
    TIMES,
    ServiceTables,
    served_operators,
)

OK = 0
MOST_SEEDS = 1000
SERVED = {"replicas": whole, "max_batch": whole, "max_wait_s": number}
"""What of an operator can be predicted otherwise than it was served."""


def calibrate(options: argparse.Namespace) -> int:
    """Write the tables that follow from observations; return the exit status."""
    check_alone(options)
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"--out={options.out}: is not a directory")
    observations = [read_observation(each) for each in options.observations]
    tables = calibrated(observations)
    tables.write(options.out)
    name = write_application(observations, tables, options.out)
    _tell(tables)
    say(
        f"wrote {options.out}; to plan for it: compass-sim --config-dir {options.out} "
        f"experiment={name}"
    )
    return OK


def _tell(tables: ServiceTables) -> None:
    heads = ("operator", "setting", "batch", "time, ms", "variation", "batches")
    rows = [
        (
            *(row["operator"], row["setting"], str(row["batch"])),
            *(f"{row['mean_s'] * 1e3:.2f}", f"{row['cv']:.2f}", f"{row['batches']:,}"),
        )
        for row in tables[TIMES].iter_rows(named=True)
    ]
    show_rows(heads, rows, "time of a batch, alone on the host")
    for row in tables[ENGINE].iter_rows(named=True):
        say(
            f"{row['operator']}: the engine occupies a replica for "
            f"{row['occupied_per_batch_s'] * 1e3:.2f} ms per batch and "
            f"{row['occupied_per_request_s'] * 1e3:.2f} ms per request"
        )
    slower = ", ".join(
        f"{row['jobs']}: {row['slowdown']:.2f}" for row in tables[CORES].iter_rows(named=True)
    )
    [host] = tables[HOST].rows(named=True)
    say(
        f"execution is slower with jobs on the {host['cores']} cores by {slower}; "
        f"stolen time stretched it by {host['stolen']:.3f}"
    )


def predict(options: argparse.Namespace) -> int:
    """Predict an observation, write the predicted requests, and return the exit status."""
    out = options.out
    if (out / DESCRIPTION).exists():
        raise InputError(f"--out={out}: has a prediction; name another directory")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out={out}: is not a directory")
    if not 1e-3 <= options.load_factor <= 1e3:
        raise InputError(f"--load-factor={options.load_factor:g}: must be from 0.001 to 1000")
    _check_seeds(options.seeds)
    observation = changed(read_observation(options.directory), options.overrides)
    tables = ServiceTables.read(options.tables)
    found = predicted(observation, tables, options.seeds, options.load_factor)
    for name, operator in served_operators(observation).items():
        most = tables.largest_batch(name, operator.setting)
        if operator.max_batch > most:
            warn(f"{name}: batches above {most} were not measured; their times are on a line")
    found.write(out)
    done = found.requests.filter(pl.col("latency_s").is_not_null())
    p50, p95, p99 = (done["latency_s"].quantile(at, "linear") or 0.0 for at in (0.5, 0.95, 0.99))
    say(
        f"{done.height:,} of {found.requests.height:,} requests of {options.seeds} seeds; latency "
        f"p50 {p50 * 1e3:.1f}, p95 {p95 * 1e3:.1f}, p99 {p99 * 1e3:.1f} ms"
    )
    say(f"wrote {out}")
    return OK


def changed(observation: Observation, overrides: Sequence[str]) -> Observation:
    """Return an observation whose operators are served as ``OPERATOR.KEY=VALUE`` words say."""
    description = deepcopy(dict(observation.description))
    operators: dict[str, dict[str, Any]] = {
        str(each["name"]): each for each in description["pipeline"]["operators"]
    }
    served_operators(observation)
    for word in overrides:
        key, equals, text = word.partition("=")
        name, dot, what = key.partition(".")
        if not equals or not dot:
            raise InputError(f"{word}: must be OPERATOR.KEY=VALUE, such as detect.replicas=2")
        if name not in operators:
            raise InputError(f"{word}: there is no operator {name}; {choices(name, operators)}")
        if what not in SERVED:
            raise InputError(f"{word}: there is no key {what}; {choices(what, SERVED)}")
        try:
            operators[name][what] = SERVED[what](text)
        except argparse.ArgumentTypeError as error:
            raise InputError(f"{key}{error}") from None
        try:
            check_served(**{key: operators[name][key] for key in SERVED})
        except ValueError as error:
            raise InputError(f"{name}.{error}") from None
    return Observation(description, observation.requests, observation.noise)


def _check_seeds(seeds: int) -> None:
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(f"--seeds={seeds}: must be from 1 to {MOST_SEEDS}")


def compare(options: argparse.Namespace) -> int:
    """Print observations and their predictions; return the exit status."""
    _check_seeds(options.seeds)
    if not options.bound_s > 0:
        raise InputError(f"--bound-s={options.bound_s:g}: must be above 0")
    found = cells({str(each): read_observation(each) for each in options.directories})
    predictions = _predictions(options, found)
    rows = []
    for cell, observations in found.items():
        figures = [Figures.of(each.requests, options.bound_s) for each in observations]
        prediction = Figures.of(predictions[cell].requests, options.bound_s)
        rows += cell_rows(cell, figures, prediction)
    table = worst_first(rows)
    for [cell], each in table.group_by("cell", maintain_order=True):
        shown = [_shown(row) for row in each.iter_rows(named=True)]
        say(f"{cell}:")
        show_rows(("", "observed", "predicted", "error", "floor"), shown)
    if len(found) > 1:
        say("all cells:")
        heads = ("", "cells", "median error", "largest error", "median floor", "largest floor")
        show_rows(heads, [_summed(row) for row in summary(table).iter_rows(named=True)])
    if options.csv is not None:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        table.write_csv(options.csv)
        say(f"wrote {options.csv}")
    return OK


def _predictions(
    options: argparse.Namespace, found: Mapping[str, Sequence[Observation]]
) -> dict[str, Prediction]:
    if options.tables is not None:
        tables = ServiceTables.read(options.tables)
        return {cell: predicted(each[0], tables, options.seeds) for cell, each in found.items()}
    prediction = Prediction.read(options.predicted)
    for cell, each in found.items():
        check_predicted(prediction, each[0], cell)
    return dict.fromkeys(found, prediction)


def _shown(row: Mapping[str, Any]) -> list[str]:
    name = str(row["figure"])
    values = [_value(name, row[key]) for key in ("observed", "predicted")]
    return [_label(name), *values, _share(name, row["error"]), _share(name, row["floor"], "")]


def _summed(row: Mapping[str, Any]) -> list[str]:
    name = str(row["figure"])
    keys = ("error_median", "error_largest", "floor_median", "floor_largest")
    return [_label(name), str(row["cells"]), *(_share(name, row[key], "") for key in keys)]


def _label(name: str) -> str:
    if name.endswith("_per_s"):
        return f"{name.removesuffix('_per_s')}, 1/s"
    return f"{name.removesuffix('_s')}, ms" if name.endswith("_s") else f"{name}, %"


def _value(name: str, value: float) -> str:
    if name.endswith("_per_s"):
        return f"{value:.2f}"
    return f"{value * 1e3:.1f}" if name.endswith("_s") else f"{value * 100:.1f}"


def _share(name: str, value: float | None, sign: str = "+") -> str:
    if value is None:
        return "-"
    unit = "points" if name == GOODPUT else "%"
    return f"{value * 100:{sign}.1f} {unit}"
