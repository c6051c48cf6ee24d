"""Makes the tables of a served pipeline from observations of it.

Servers on one host slow each other down. The logarithm of a batch's execution time is modelled as
the sum of an effect of its operator, setting and size, and an effect of the number of servers that
were busy meanwhile. Both are fitted together by least squares, because large batches and busy hosts
occur at the same times. The part of the second effect that follows from sharing cores equally is
left to the simulator.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from lab.common.errors import InputError
from lab.serving.batches import batches, with_busy_servers
from lab.serving.observation import Observation
from lab.serving.service_tables import (
    CORES,
    ENGINE,
    FACTORS,
    SCHEMAS,
    TIMES,
    ServiceTables,
    served_operators,
)
from scenarios.numerics import Floats

QUANTILES = np.linspace(0, 1, 101)
LEAST_BATCHES = 20
"""Fewest batches from which a slow-down or a distribution is estimated."""
GROUP = ("operator", "setting", "batch")


def calibrate(observations: Sequence[Observation]) -> ServiceTables:
    """Return the tables that follow from observations of one pipeline on one host.

    Raises InputError if an observation has no batches, or the observations have different hosts or
    operators.
    """
    first = observations[0]
    for each in observations:
        for what in ("pipeline", "host"):
            there, here = _known(first, what), _known(each, what)
            if there != here:
                raise InputError(
                    f"{what}: is {there} in one observation and {here} in another; calibrate from "
                    "observations of one pipeline on one host"
                )
    executed = pl.concat([_executed(each) for each in observations])
    if executed.is_empty():
        raise InputError("no request was completed, so nothing was measured")
    cores = first.description["host"]["cores"]
    slowdown, counts = _slowdown(executed, cores)
    sharing = np.maximum(1, executed["busy"].to_numpy() / cores)
    slowed = sharing * np.interp(executed["busy"].to_numpy(), range(1, len(slowdown) + 1), slowdown)
    alone = executed.with_columns(alone_s=pl.col("compute_s") / slowed)
    tables = {
        TIMES: _times(alone),
        FACTORS: _factors(alone),
        ENGINE: _engine(observations, executed),
        CORES: pl.DataFrame(
            {"busy": range(1, len(slowdown) + 1), "slowdown": slowdown, "batches": counts}
        ),
    }
    return ServiceTables({name: tables[name].select(*SCHEMAS[name]) for name in SCHEMAS})


def _known(observation: Observation, what: str) -> str:
    if what == "host":
        host = observation.description["host"]
        return f"{host['cpu']} with {host['cores']} cores"
    return ", ".join(observation.operators)


def _executed(observation: Observation) -> pl.DataFrame:
    table = with_busy_servers(batches(observation.requests, observation.operators))
    settings = {name: one.setting for name, one in served_operators(observation).items()}
    return table.with_columns(setting=pl.col("operator").replace_strict(settings))


def _slowdown(executed: pl.DataFrame, cores: int) -> tuple[Floats, list[int]]:
    """Return the slow-down by number of busy servers, 1 for one, and the numbers of batches.

    A number of busy servers that occurred in too few batches has the slow-down of the number below.
    """
    busy = executed["busy"].to_numpy()
    number = np.maximum(1, np.rint(busy).astype(int))
    counts = np.bincount(number)[1:]
    groups = executed.select(pl.struct(GROUP).rank("dense"))[GROUP[0]].to_numpy() - 1
    known = [n for n in range(2, len(counts) + 1) if counts[n - 1] >= LEAST_BATCHES]
    design = np.zeros((len(busy), groups.max() + 1 + len(known)))
    design[np.arange(len(busy)), groups] = 1
    for column, n in enumerate(known, groups.max() + 1):
        design[number == n, column] = 1
    log_s = np.log(executed["compute_s"].to_numpy()) - np.log(np.maximum(1, busy / cores))
    effects = np.linalg.lstsq(design, log_s)[0][groups.max() + 1 :]
    slowdown = np.ones(len(counts))
    for n in range(2, len(counts) + 1):
        slowdown[n - 1] = np.exp(effects[known.index(n)]) if n in known else slowdown[n - 2]
    return slowdown, counts.tolist()


def _times(alone: pl.DataFrame) -> pl.DataFrame:
    time = pl.col("alone_s")
    return (
        alone.group_by(GROUP)
        .agg(mean_s=time.mean(), cv=(time.std() / time.mean()).fill_null(0.0), batches=pl.len())
        .with_columns(pl.col("batches").cast(pl.Int64))
        .sort(GROUP)
    )


def _factors(alone: pl.DataFrame) -> pl.DataFrame:
    """Return quantiles of the ratio of a batch's time to the mean at its size."""
    ratio = pl.col("alone_s") / pl.col("alone_s").mean().over(GROUP)
    spread = alone.with_columns(ratio=ratio).filter(pl.len().over(GROUP) >= LEAST_BATCHES)
    parts = [
        pl.DataFrame(
            {"quantile": QUANTILES, "factor": np.quantile(each["ratio"], QUANTILES)}
        ).select(pl.lit(operator).alias("operator"), pl.lit(setting).alias("setting"), pl.all())
        for (operator, setting), each in spread.sort(GROUP).group_by(
            "operator", "setting", maintain_order=True
        )
    ]
    nothing = pl.DataFrame(schema=SCHEMAS[FACTORS])
    return pl.concat(parts) if parts else nothing


def _engine(observations: Sequence[Observation], executed: pl.DataFrame) -> pl.DataFrame:
    """Return the overhead of the serving engine by operator.

    A server's overhead is the time from the end of a batch to the start of the next one, if a
    request was ready when the first batch ended; it is fitted to the size of the next batch. The
    time on the path to an operator is the median over requests that were not ready by then.
    """
    rows = []
    for operator in observations[0].operators:
        table = executed.filter(operator=operator)
        same = (pl.col("replica") == pl.col("replica").shift(1)) & (
            pl.col("started_s") > pl.col("ended_s").shift(1)
        )
        table = table.with_columns(
            gap_s=pl.when(same).then(pl.col("started_s") - pl.col("ended_s").shift(1)),
            waited=same
            & (pl.col("ready_s") + pl.col("path_s").median() < pl.col("ended_s").shift(1)),
        )
        free = table.filter(~pl.col("waited").fill_null(False))
        per_batch_s, per_request_s = _line(table.filter("waited"))
        rows.append(
            {
                "operator": operator,
                "path_s": _median(free["path_s"]),
                "occupied_per_batch_s": per_batch_s,
                "occupied_per_request_s": per_request_s,
                "answer_path_s": _median(
                    pl.concat([each.requests["answer_transfer_s"] for each in observations])
                ),
            }
        )
    return pl.DataFrame(rows)


def _median(values: pl.Series) -> float:
    median = values.drop_nulls().median()
    return float(median) if isinstance(median, int | float) else 0.0


def _line(gaps: pl.DataFrame) -> tuple[float, float]:
    """Return the constant and the slope, at least 0, of the gap before a batch over its size."""
    if gaps.height < LEAST_BATCHES:
        return _median(gaps["gap_s"]), 0.0
    size, gap_s = gaps["batch"].to_numpy().astype(float), gaps["gap_s"].to_numpy()
    # Medians by size, because pauses of the process make a few gaps very long.
    medians = gaps.group_by("batch").agg(pl.col("gap_s").median(), pl.len()).sort("batch")
    if medians.height < 2:
        return float(np.median(gap_s)), 0.0
    slope, constant = np.polyfit(
        medians["batch"], medians["gap_s"], 1, w=np.sqrt(medians["len"].to_numpy())
    )
    if slope < 0 or constant < 0:
        return (
            (float(np.median(gap_s)), 0.0) if slope < 0 else (0.0, float(np.median(gap_s / size)))
        )
    return float(constant), float(slope)
