"""Serves, for real, what planners choose from the tables of the campaign.

Planners see the application that ``compass-lab calibrate`` writes: one stream of requests, and the
host as the only machine. What they choose is served by Ray Serve and observed twice.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hardware_models.tables import using_tables
from lab.common.errors import InputError
from lab.config.compose import compose, set_up
from lab.runs.api import Result
from lab.runs.api import run as simulate
from lab.runs.run_directory import write_aside
from lab.serving.observation import DESCRIPTION, Observation, read_observation
from lab.serving.observe import Load, observe_endpoint
from lab.serving.pipeline import Pipeline, load_pipeline
from lab.serving.predicting.application import write_application
from lab.serving.predicting.calibration import calibrate
from lab.serving.predicting.prediction import predict
from lab.serving.ray_service import served
from scenarios.cluster import DEVICE
from scenarios.queries import births
from scenarios.slo import SLO
from studies.served.campaign import capacity_per_s
from studies.served.design import SEEDS, TIMEOUT_S, WAIT_S_PER_MEMBER, Subject

PLACE, FOUND = "planned", "found.json"
PLANNERS = ("compass", "cheapest_feasible")
LOAD = 0.45
"""The rate of the stream, relative to the capacity of the first combination of the campaign."""
REQUESTS = 300
HORIZON_S = 600.0
SIMULATED_SEED, OBSERVED_SEED = 400, 500
RUNS = range(2)
LINK = """time_s,rate_bps
0,1e9
1,1e9
"""
"""A recorded link for the client, which is on the host: it takes next to no time."""


def choose(planner: str, calibrated: Path, name: str, rate_per_s: float) -> Result:
    """Return a run in which a planner serves one stream of requests.

    Args:
        planner: its name.
        calibrated: the directory of the application.
        name: of the application and its experiment.
        rate_per_s: requests per second.
    """
    link = calibrated / "link.csv"
    link.write_text(LINK, encoding="utf-8")
    words = [
        f"hydra.searchpath=['file://{calibrated}']",
        f"experiment={name}",
        f"planner={planner}",
        f"horizon_s={HORIZON_S:g}",
        f"application.requests_per_s={rate_per_s:.6g}",
        "workload.rate=0.005",
        f"workload.lifetime_min_s={HORIZON_S:g}",
        f"workload.lifetime_mean_s={HORIZON_S + 1:g}",
        "network.technologies={local: 1.0}",
        f"network.traces={{local: {{uplink: '{link}', downlink: '{link}', rtt_s: 0.0}}}}",
    ]
    return simulate([*words, f"seed={_seed_of_one_query(words)}"])


def _seed_of_one_query(words: Sequence[str]) -> int:
    """Return the first seed from `SIMULATED_SEED` on with which a single query arrives."""
    made = set_up(compose(words), words)
    with using_tables(made.tables):
        scenario = made.scenario()
        return next(seed for seed in count(SIMULATED_SEED) if len([*births(scenario, seed)]) == 1)


def plan_of(result: Result) -> Mapping[str, Any]:
    """Return the row of table ``decisions`` of the last plan of a run; empty if there is none."""
    rows = result.decisions.filter(pl.col("outcome") == "deployed")
    return rows.row(-1, named=True) if rows.height else {}


def overrides(plan: Mapping[str, Any], operators: Sequence[str]) -> list[str]:
    """Return the words that let a pipeline be served as a plan says.

    Args:
        plan: a row of table ``decisions``.
        operators: their names, in order.
    """
    knobs = [
        f"operators.{where}.operator.{value}"
        for where, _, value in (
            each.partition(".") for each in re.findall(r"[\w.]+=[^,/ ]+", plan["configuration"])
        )
    ]
    shares = str(plan["plan"]).rpartition(" @ ")[2].split(" > ")
    for name, share in zip(operators, shares, strict=True):
        replicas, batch = (re.search(each, share) for each in (r" x(\d+)", r"batch (\d+)"))
        most = int(batch[1]) if batch else 1
        knobs += [
            f"operators.{name}.replicas={replicas[1] if replicas else 1}",
            f"operators.{name}.max_batch={most}",
            f"operators.{name}.max_wait_s={WAIT_S_PER_MEMBER * (most - 1):g}",
        ]
    return knobs


def run(
    directory: Path,
    subject: Subject,
    known: Sequence[Sequence[Observation]],
    say: Callable[[str], None] = print,
) -> None:
    """Let planners choose, serve what they choose, and write what was found.

    An observation that exists is kept.

    Args:
        directory: of the campaign.
        subject: what is served.
        known: the burst and the calibrations of each combination.
        say: gets a line on each observation.
    """
    calibrated = directory / PLACE / "calibrated"
    observations = list(chain.from_iterable(known))
    tables = calibrate(observations)
    name = write_application(observations, tables, calibrated)
    rate_per_s = LOAD * capacity_per_s(known[0][0])
    rows: list[dict[str, Any]] = []
    for planner in PLANNERS:
        result = choose(planner, calibrated, name, rate_per_s)
        plan = plan_of(result)
        if not plan or DEVICE in plan["placement"].split(" > "):
            say(f"{planner}: no plan for the host")
            rows.append({"planner": planner, "plan": None})
            continue
        say(f"{planner}: {plan['plan']}")
        operators = list(result.scenario.application.pipeline.operators)
        words = overrides(plan, [each.name for each in operators])
        load = Load(rate_per_s, REQUESTS, OBSERVED_SEED, timeout_s=TIMEOUT_S)
        seen = _observed(directory / PLACE / planner, subject, words, load)
        predicted = predict(seen[0], tables, SEEDS).requests
        rows.append(_row(planner, plan, result, [each.requests for each in seen], predicted))
    write_aside(directory / PLACE / FOUND, json.dumps(rows, indent=1) + "\n")


def found(directory: Path) -> list[dict[str, Any]]:
    """Return what `run` found in the directory of a campaign; empty if it was not run."""
    path = directory / PLACE / FOUND
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return rows


def _observed(
    place: Path, subject: Subject, words: Sequence[str], load: Load
) -> Sequence[Observation]:
    places = [place / f"run{number}" for number in RUNS]
    missing = [each for each in places if not (each / DESCRIPTION).exists()]
    pipeline = load_pipeline(subject.pipeline, list(words))
    for each in places:
        if each not in missing and not _same(read_observation(each), pipeline, load):
            raise InputError(f"{each}: was observed of another plan or load; remove it")
    if missing:
        with served(pipeline) as url:
            for each in missing:
                observe_endpoint(url, load, pipeline.payloads, pipeline).write(each)
    return [read_observation(each) for each in places]


def _same(observation: Observation, pipeline: Pipeline, load: Load) -> bool:
    """Return whether an observation is of a pipeline that was served in this way, at this load."""
    told = observation.description
    sent = (told["rate_per_s"], told["requests"], told["seed"])
    asked = (load.rate_per_s, load.requests, load.seed)
    return told["pipeline"]["operators"] == pipeline.described() and sent == asked


def _row(
    planner: str,
    plan: Mapping[str, Any],
    result: Result,
    observed: Sequence[pl.DataFrame],
    predicted: pl.DataFrame,
) -> dict[str, Any]:
    query = result.queries.row(0, named=True)
    bound_s, floor = query["slo_latency_s"], query["slo_accuracy"]
    needed = SLO().latency_quantile  # which classes of service cannot change
    within = [_within(each, bound_s) for each in observed]
    accuracies = [_accuracy(each) for each in observed]
    return {
        "planner": planner,
        "plan": plan["plan"],
        "price_usd_per_hour": plan["list_price_usd_per_hour"],
        "planning_s": query["planning_s"],
        "bound_s": bound_s,
        "quantile": needed,
        "accuracy_floor": floor,
        "simulated_met": result.summary["slo_met_fraction"],
        "predicted_within": _within(predicted, bound_s),
        "observed_within": within,
        "observed_p95_s": [
            float(np.quantile(each["latency_s"].drop_nulls(), 0.95)) for each in observed
        ],
        "observed_accuracy": accuracies,
        "met": [
            share >= needed and (floor is None or (accuracy or 0.0) >= floor)
            for share, accuracy in zip(within, accuracies, strict=True)
        ],
    }


def _accuracy(requests: pl.DataFrame) -> float | None:
    """Return the mean accuracy of the answers; None if it was not observed."""
    if "accuracy" not in requests.columns or requests["accuracy"].is_null().all():
        return None
    return float(requests["accuracy"].mean())  # type: ignore[arg-type]


def _within(requests: pl.DataFrame, bound_s: float) -> float:
    """Return the share of all requests that were answered within a bound."""
    return float((requests["latency_s"] <= bound_s).sum()) / requests.height
