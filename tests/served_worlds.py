"""Observations whose truth is known: the simulator makes them, from tables that a test states."""

from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import polars as pl

from lab.serving.noise import SCHEMA as NOISE
from lab.serving.observation import Observation
from lab.serving.predicting.prediction import execution_factors, predicted_requests
from lab.serving.predicting.service_tables import (
    CORES,
    ENGINE,
    FACTORS,
    HOST,
    PATHS,
    SCHEMAS,
    TIMES,
    ServiceTables,
    served_operators,
)
from scenarios.random_streams import stream
from studies.served import campaign, planned

QUANTILES = np.linspace(0, 1, 101)


def truth(
    times_s,
    slowdown=(1.0,),
    cores=2,
    spread=0.0,
    handoff_s=0.0,
    occupied_s=(0.0, 0.0),
    path_per_job=0.0,
):
    """Return tables.

    Args:
        times_s: by operator and size of a batch, its time.
        slowdown: by number of jobs on the host.
        cores: cores of the host.
        spread: execution times of batches are uniform within this share of their mean.
        handoff_s: time before a batch at a free replica.
        occupied_s: time between batches at a replica, per batch and per request.
        path_per_job: how much longer paths take for each other job, relative to 2 to 4 ms.
    """
    times = [
        (name, "", batch, time_s, 0.0, 1000)
        for name, of_sizes in times_s.items()
        for batch, time_s in of_sizes.items()
    ]
    factors = [
        (name, "", batch, quantile, 1 + spread * (2 * quantile - 1))
        for name in times_s
        for batch in times_s[name]
        for quantile in QUANTILES.tolist()
    ]
    paths = [
        (name, False, jobs, quantile, (0.002 + 0.002 * quantile) * (1 + (jobs - 1) * path_per_job))
        for name in (*times_s, "answer")
        for jobs in range(1, len(slowdown) + 1)
        for quantile in QUANTILES.tolist()
    ]
    rows = {
        TIMES: times,
        FACTORS: factors,
        ENGINE: [(name, handoff_s, *occupied_s) for name in times_s],
        PATHS: paths,
        CORES: [(number, factor, 0) for number, factor in enumerate(slowdown, 1)],
        HOST: [("model", cores, 1.0)],
    }
    return ServiceTables(
        {
            name: pl.DataFrame(rows.get(name, []), schema, orient="row")
            for name, schema in SCHEMAS.items()
        }
    )


def described(served, rate_per_s, requests, seed, cores=2):
    """Return the description of an observation; `served` has replicas, batch and wait by name."""
    keys = ("replicas", "max_batch", "max_wait_s")
    operators = [
        {"name": name, **dict(zip(keys, how, strict=True)), "knobs": {}}
        for name, how in served.items()
    ]
    return {
        "pipeline": {"name": "made", "operators": operators},
        "rate_per_s": rate_per_s,
        "requests": requests,
        "seed": seed,
        "arrivals": "poisson",
        "host": {"cpu": "model", "cores": cores},
        "started_utc": datetime.now(UTC).isoformat(),
    }


def without_ray(monkeypatch, times_s):
    """Let the simulator answer in place of Ray; return the loads that were sent, by start.

    Args:
        monkeypatch: that of the test.
        times_s: as in `truth`.
    """
    sent = []

    @contextmanager
    def serve(pipeline):
        sent.append([])
        yield "address"

    def observe(url, load, payloads, pipeline):
        assert url == "address"
        sent[-1].append(load)
        how = {
            name: (stage.replicas, stage.max_batch, stage.max_wait_s)
            for name, stage in pipeline.stages.items()
        }
        run = len(sent)
        found = observed(truth(times_s), how, load.rate_per_s, load.requests, load.seed, run=run)
        return told(found, pipeline)

    for module in (campaign, planned):
        monkeypatch.setattr(module, "served", serve)
        monkeypatch.setattr(module, "observe_endpoint", observe)
    return sent


def told(found, pipeline):
    """Return an observation with the description that a served pipeline has."""
    described_ = found.description
    more = {"versions": {"python": "3.11"}, "host": described_["host"] | {"kernel": "k"}}
    more["pipeline"] = {"name": pipeline.name, "operators": pipeline.described()}
    return Observation({**described_, **more}, found.requests, found.noise)


def observed(tables, served, rate_per_s, requests=2000, seed=0, stolen=1.0, cpu=True, run=0):
    """Return an observation that the simulator makes from true tables.

    Args:
        tables: the truth.
        served: replicas, largest batch and longest wait of each operator.
        rate_per_s: mean requests per second, at Poisson arrivals.
        requests: their number.
        seed: of the arrivals.
        stolen: factor by which stolen time stretches all batches.
        cpu: whether the core time of batches is known.
        run: of the execution times; two observations of one seed differ by it.
    """
    cores = tables[HOST]["cores"][0]
    description = described(served, rate_per_s, requests, seed, cores)
    gaps_s = stream(seed, "test", "arrivals").exponential(1 / rate_per_s, requests)
    arrival_s = np.cumsum(gaps_s) - gaps_s[0]
    empty = Observation(description, pl.DataFrame({"arrival_s": arrival_s}), pl.DataFrame())
    stretched = ServiceTables(
        {**tables.tables, HOST: tables[HOST].with_columns(pl.lit(stolen).alias("stolen"))}
    )
    rows = predicted_requests(empty, stretched, run).sort("number")
    rows = rows.with_columns(sent_s="arrival_s")
    left = pl.col("arrival_s")
    for name, operator in served_operators(empty).items():
        [handoff_s] = tables[ENGINE].filter(operator=name)["handoff_s"]
        rows = _handed_over(rows, name, handoff_s)
        times_s = np.array(tables.times_s(name, "", operator.max_batch))
        factors = execution_factors(tables, name, operator, requests, run)[0]
        waited = pl.sum_horizontal(
            f"{name}_{key}_s" for key in ("transfer", "queueing", "batching")
        )
        started = (left + waited).round(9)
        waited_s = pl.sum_horizontal(f"{name}_{key}_s" for key in ("queueing", "batching"))
        rows = rows.with_columns(started.alias(f"{name}_started_s"), factor=pl.Series(factors))
        # Two replicas hardly ever start and end a batch at the same nanosecond.
        batch = [f"{name}_started_s", f"{name}_compute_s"]
        rows = rows.with_columns(pl.len().over(batch).cast(pl.Int64).alias(f"{name}_batch"))
        mean_s = pl.col(f"{name}_batch").replace_strict(dict(enumerate(times_s.tolist(), 1)))
        first = pl.col("factor").sort_by(waited_s, descending=True).first().over(batch)
        rows = rows.with_columns(work_s=mean_s * first)
        if cpu:
            rows = rows.with_columns(pl.col("work_s").alias(f"{name}_cpu_s"))
        rows = rows.with_columns(_replica(rows, name, operator.replicas))
        left = pl.col(f"{name}_started_s") + pl.col(f"{name}_compute_s")
    seconds = np.arange(1.0, rows["ended_s"].max() + 2)
    noise = pl.DataFrame(
        {"t_s": seconds, "steal_share": (stolen - 1) * 0.5, "busy_share": 0.5, "probe_s": 0.01}
    ).with_columns(frequency_hz=pl.lit(None, pl.Float64), load_1min=1.0)
    return Observation(description, rows.drop("factor", "work_s"), noise.select(*NOISE))


def _handed_over(rows, name, handoff_s):
    """Let requests enter before they are handed to a replica, which the simulator counts as way."""
    queued = pl.col(f"{name}_queueing_s") > 0
    more = {"transfer": -handoff_s, "queueing": handoff_s * queued, "batching": handoff_s * ~queued}
    return rows.with_columns(
        **{f"{name}_{key}_s": pl.col(f"{name}_{key}_s") + each for key, each in more.items()}
    )


def _replica(rows, name, replicas):
    """Return replicas that can have served the batches: each time, the one that is free longest."""
    batches = rows.unique([f"{name}_started_s", f"{name}_compute_s"]).sort(f"{name}_started_s")
    free_s, of_batch = [-np.inf] * replicas, {}
    for start_s, took_s in batches.select(f"{name}_started_s", f"{name}_compute_s").iter_rows():
        replica = int(np.argmin(free_s))
        free_s[replica] = start_s + took_s
        of_batch[start_s] = replica
    return (
        pl.col(f"{name}_started_s")
        .replace_strict(of_batch, return_dtype=pl.Int64)
        .alias(f"{name}_replica")
    )
