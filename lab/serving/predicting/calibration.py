"""Makes the tables of a served pipeline from observations of it.

What slows a batch is separated from its work by `lab.serving.predicting.contention`. What the
serving engine adds at a replica follows from the times between batches: a batch is *closed* when
its last request has come, if it is full, and otherwise when its first request has waited for the
longest time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from lab.common.errors import InputError
from lab.serving.observation import Observation
from lab.serving.predicting.batches import Jobs, batches, passes, stolen
from lab.serving.predicting.contention import GROUP, LEAST_BATCHES, contention
from lab.serving.predicting.service_tables import (
    ACCURACY,
    CORES,
    ENGINE,
    FACTORS,
    HOST,
    PATHS,
    QUANTILES,
    SCHEMAS,
    TIMES,
    ServiceTables,
    line,
    served_operators,
    setting_of_all,
)
from scenarios.applications.pipeline import ANSWER
from scenarios.numerics import Floats
from sim.dataplane.base.interface import COMPLETED

OVERLOAD = 1.5
"""An observation is overloaded if the last answer came so many times as late as the last request
was sent."""


def calibrate(observations: Sequence[Observation]) -> ServiceTables:
    """Return the tables that follow from observations of one pipeline on one host.

    Raises InputError if an observation has no batches, or the observations have different hosts or
    operators.
    """
    first = observations[0]
    for each in observations:
        for what in ("operators", "host"):
            there, here = _known(first, what), _known(each, what)
            if there != here:
                raise InputError(
                    f"{what}: {there} in one observation and {here} in another; calibrate from "
                    "observations of one pipeline on one host"
                )
    parts = [_executed(each) for each in observations]
    for number, each in enumerate(observations, 1):
        if each.requests.filter(outcome=COMPLETED).is_empty():
            raise InputError(f"observation {number}: no request was completed; leave it out")
    executed = pl.concat(parts)
    for name in first.operators:
        if executed.filter(operator=name).is_empty():
            raise InputError(
                f"{name}: no observation tells when its batches were executed; the service must "
                f"send {name}.compute, with batch and replica, and {name}.start, on this host"
            )
    passed = [passes(each.requests, each.operators) for each in observations]
    jobs = [Jobs.of(*both) for both in zip(parts, passed, strict=True)]
    by_part = [one.shares(part) for one, part in zip(jobs, parts, strict=True)]
    most = max(each.shape[1] for each in by_part)
    shares = np.concatenate([np.pad(one, ((0, 0), (0, most - one.shape[1]))) for one in by_part])
    stretch = [stolen(part, one.noise) for part, one in zip(parts, observations, strict=True)]
    cores = int(first.description["host"]["cores"])
    found = contention(executed, shares, np.concatenate(stretch), cores)
    executed = executed.with_columns(
        alone_s=pl.Series(found.alone_s), work_s=pl.Series(found.work_s)
    )
    host = {
        "cpu": str(first.description["host"]["cpu"]),
        "cores": cores,
        "stolen": float(np.average(np.concatenate(stretch), weights=executed["compute_s"])),
    }
    tables = {
        TIMES: _times(executed),
        FACTORS: _factors(executed),
        ENGINE: _engine(executed, first.operators),
        PATHS: _paths(observations, passed, jobs),
        CORES: pl.DataFrame(
            {"jobs": range(1, most + 1), "slowdown": found.slowdown, "batches": found.counts}
        ),
        HOST: pl.DataFrame([host]),
        ACCURACY: _accuracy(observations),
    }
    return ServiceTables({name: tables[name].select(*SCHEMAS[name]) for name in SCHEMAS})


def _known(observation: Observation, what: str) -> str:
    if what == "operators":
        return ", ".join(observation.operators)
    host = observation.description.get("host")
    if not isinstance(host, Mapping) or not {"cpu", "cores"} <= set(host):
        raise InputError("host: an observation does not say which processor and cores it had")
    return f"{host['cpu']} with {host['cores']} cores"


def _executed(observation: Observation) -> pl.DataFrame:
    """Return the batches, with how they were served and when they were closed."""
    table = batches(observation.requests, observation.operators)
    served = served_operators(observation)

    def of_each(key: str) -> pl.Expr:
        return pl.col("operator").replace_strict(
            {name: getattr(served[name], key) for name in served}
        )

    latest = pl.col("first_s") + of_each("max_wait_s")
    full = pl.col("batch") >= of_each("max_batch")
    closed = pl.when(full).then(pl.min_horizontal("last_s", latest)).otherwise(latest)
    before = pl.col("ended_s").shift(1).over("operator", "replica")
    return table.with_columns(setting=of_each("setting"), closed_s=closed, before_s=before)


def _times(executed: pl.DataFrame) -> pl.DataFrame:
    """Return means of what batches take alone, with the spread of their work.

    Time alone is more than core time if an operator also waits, or uses another device. It is never
    less, though an operator that other jobs disturb less than the others may look so.
    """
    work, alone = pl.col("work_s"), pl.col("alone_s")
    mean_s = pl.max_horizontal(alone.mean(), work.mean())
    return (
        executed.group_by(GROUP)
        .agg(mean_s=mean_s, cv=(work.std() / work.mean()).fill_null(0.0), batches=pl.len())
        .with_columns(pl.col("batches").cast(pl.Int64))
        .sort(GROUP)
    )


def _factors(executed: pl.DataFrame) -> pl.DataFrame:
    """Return quantiles of the ratio of a batch's time to the mean at its size."""
    time = pl.col("alone_s")
    spread = executed.with_columns(ratio=time / time.mean().over(GROUP))
    spread = spread.filter(pl.len().over(GROUP) >= LEAST_BATCHES).sort(*GROUP, "started_s")
    parts = []
    for (operator, setting, batch), each in spread.group_by(GROUP, maintain_order=True):
        factors = np.quantile(each["ratio"].to_numpy(), QUANTILES)
        factors /= np.trapezoid(factors, QUANTILES)
        one = _quantiles({"operator": operator, "setting": setting}, "factor", factors)
        parts.append(one.with_columns(pl.lit(batch, pl.Int64).alias("batch")))
    columns = list(SCHEMAS[FACTORS])
    return pl.concat(parts).select(columns) if parts else pl.DataFrame(schema=SCHEMAS[FACTORS])


def _quantiles(key: Mapping[str, Any], name: str, values: Floats) -> pl.DataFrame:
    constant = [pl.lit(value, pl.String).alias(column) for column, value in key.items()]
    return pl.DataFrame({"quantile": QUANTILES, name: values}).select(*constant, pl.all())


def _engine(executed: pl.DataFrame, operators: Sequence[str]) -> pl.DataFrame:
    """Return the overhead of the serving engine at the replicas of each operator.

    The time from the end of a batch to the start of the next one that was closed by then is fitted
    to the size of the batch that ended, whose answers must be sent before.
    """
    rows = []
    size = pl.col("batch").shift(1).over("operator", "replica")
    executed = executed.with_columns(
        waited=pl.col("closed_s") < pl.col("before_s"), size_before=size
    )
    for operator in operators:
        table = executed.filter(operator=operator)
        idle = table.filter(~pl.col("waited").fill_null(False))
        handoff_s = _median(idle["started_s"] - idle["closed_s"])
        gaps = table.filter("waited").select(
            batch="size_before", gap_s=pl.col("started_s") - pl.col("before_s")
        )
        per_batch_s, per_request_s = _line(gaps)
        if gaps.height < LEAST_BATCHES:
            per_batch_s, per_request_s = handoff_s, 0.0
        rows.append(
            {
                "operator": operator,
                "handoff_s": handoff_s,
                "occupied_per_batch_s": per_batch_s,
                "occupied_per_request_s": per_request_s,
            }
        )
    return pl.DataFrame(rows)


def _paths(
    observations: Sequence[Observation], passed: Sequence[pl.DataFrame], jobs: Sequence[Jobs]
) -> pl.DataFrame:
    """Return quantiles of the time of passing a request on, by the number of jobs on the host.

    Requests that had to wait for the one before are apart, because several processes of the engine
    work on such requests at the same time. A number of jobs with too few requests is not in the
    table. Overloaded observations, such as bursts, are left out if there are others: their requests
    queue in the engine, too.
    """
    every = list(zip(observations, passed, jobs, strict=True))
    steady = [each for each in every if not _overloaded(each[0])]
    seen = pl.concat(
        part.with_columns(jobs=pl.Series(its.at_start(part), dtype=pl.Int64))
        for _, part, its in steady or every
    )
    found = []
    for name in (*observations[0].operators, ANSWER):
        rows = seen.filter(operator=name)
        known = rows.filter(pl.len().over("queued", "jobs") >= LEAST_BATCHES)
        if known.is_empty():
            known = rows.with_columns(jobs=pl.lit(1, pl.Int64), queued=pl.lit(False))
        keys = ["queued", "jobs"]
        for (queued, number), each in known.sort(keys).group_by(keys, maintain_order=True):
            values = np.maximum(np.quantile(each["path_s"].to_numpy(), QUANTILES), 0)
            one = _quantiles({"operator": name}, "path_s", values)
            more = {"queued": pl.lit(queued), "jobs": pl.lit(number, pl.Int64)}
            found.append(one.with_columns(**more))
    return pl.concat(found) if found else pl.DataFrame(schema=SCHEMAS[PATHS])


def _overloaded(observation: Observation) -> bool:
    """Return whether requests were answered much more slowly than they were sent."""
    arrival_s, ended_s = (observation.requests[name] for name in ("arrival_s", "ended_s"))
    sent_in_s, answered_in_s = (float(each.max() or 0.0) for each in (arrival_s, ended_s))  # type: ignore[arg-type]
    return answered_in_s > OVERLOAD * sent_in_s and len(arrival_s) >= LEAST_BATCHES


def _accuracy(observations: Sequence[Observation]) -> pl.DataFrame:
    parts = []
    for each in observations:
        if "accuracy" in each.requests.columns:
            done = each.requests.filter(outcome=COMPLETED).drop_nulls("accuracy")
            settings = setting_of_all(served_operators(each))
            parts.append(done.select("accuracy", settings=pl.lit(settings)))
    if not parts:
        return pl.DataFrame(schema=SCHEMAS[ACCURACY])
    value = pl.col("accuracy")
    grouped = (
        pl.concat(parts)
        .group_by("settings")
        .agg(accuracy=value.mean(), accuracy_sd=value.std().fill_null(0.0), requests=pl.len())
    )
    return grouped.with_columns(pl.col("requests").cast(pl.Int64)).sort("settings")


def _median(values: pl.Series) -> float:
    median = values.drop_nulls().median()
    return max(0.0, float(median)) if isinstance(median, int | float) else 0.0


def _line(gaps: pl.DataFrame) -> tuple[float, float]:
    """Return the constant and the slope, both at least 0, of the gap after a batch over its size.

    Medians by size are fitted, because pauses of the process make a few gaps very long.
    """
    medians = gaps.group_by("batch").agg(pl.col("gap_s").median(), pl.len()).sort("batch")
    if medians.height < 2:
        return _median(gaps["gap_s"]), 0.0
    return line(*(medians[name].to_numpy() for name in ("batch", "gap_s", "len")))
