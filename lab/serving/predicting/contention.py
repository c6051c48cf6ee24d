"""Separates the work of batches from what slows it: other jobs on the host, and stolen time.

Jobs are batches in service, and requests that the engine is passing on. While a host has n jobs, a
batch works at the speed ``min(1, cores / n) / slowdown(n)``, as in the simulator. Stolen time
stretches it by a factor that the recorded noise tells. The slow-down is what remains after sharing
the cores equally: for example, due to the memory that all cores share, and to processes of the
engine that are not seen.

If the service tells the core time of its batches, that is their work, apart from how others disturb
a core. Speeds then follow by linear least squares, so that the work of all batches comes out right.
Otherwise, the work of batches of one size and the slow-down are estimated together, because large
batches and busy hosts occur at the same times; this is least squares on logarithms, which are made
linear a few times.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.optimize import nnls

from scenarios.numerics import Floats, Ints

GROUP = ("operator", "setting", "batch")
"""Batches that are equal in these do the same work on average."""
LEAST_BATCHES = 20
"""Fewest batches from which a slow-down or a distribution is estimated."""
LEAST_SPREAD = 0.02
"""Smallest standard deviation of the logarithm of ``stolen`` from which its effect is estimated."""
LEAST_SPEED = 0.01
"""Lowest speed of a job, relative to an equal share of the cores."""
ROUNDS = 8
"""How often the model is made linear; the differences then are below 1e-6."""


@dataclass(frozen=True)
class Contention:
    """Batches, and what slowed them.

    Args:
        alone_s: time that each batch would have taken, alone on the host; shape (batches,).
        work_s: the same without disturbances that differ between batches of equal work, if core
            times are known; otherwise equal to ``alone_s``.
        slowdown: by number of jobs, from 1.
        counts: batches from which each slow-down was estimated, in batches' worth of time.
    """

    alone_s: Floats
    work_s: Floats
    slowdown: Floats
    counts: list[int]


def contention(executed: pl.DataFrame, shares: Floats, stolen: Floats, cores: int) -> Contention:
    """Return the contention among batches.

    Args:
        executed: a row for each batch, with the columns ``compute_s``, ``cpu_s`` and `GROUP`.
        shares: of their time with 1, 2, ... jobs on the host; shape (batches, most).
        stolen: factor by which stolen time stretched each batch; shape (batches,).
        cores: cores of the host.
    """
    numbers = np.arange(1, shares.shape[1] + 1)
    speeds = np.minimum(1, cores / numbers)
    given = shares * speeds  # time on a core by the number of jobs, per time of the batch
    time_s = executed["compute_s"].to_numpy() / stolen
    core_s = pl.when(pl.col("cpu_s") > 0).then("cpu_s")
    # A few batches whose core time was not told count as average ones.
    filled = core_s.fill_null(core_s.mean().over(GROUP)).fill_null(0.0)
    cpu_s = executed.select(filled.alias("cpu_s"))["cpu_s"].to_numpy()
    counts = np.rint(shares.sum(axis=0)).astype(int).tolist()
    known = [n for n in numbers if counts[n - 1] >= LEAST_BATCHES] or [int(np.argmax(counts)) + 1]
    # A number of jobs that was too rare counts as the known one below, or as the lowest.
    place = np.maximum(0, np.searchsorted(known, numbers, side="right") - 1)
    groups = executed.select(pl.struct(GROUP).rank("dense"))[GROUP[0]].to_numpy().astype(int) - 1
    if (cpu_s <= 0).any():
        slowdown = _slowdown(time_s, given, place, _dummies(groups))
        alone_s = time_s * (given / slowdown).sum(axis=1)
        return Contention(alone_s, alone_s, slowdown, counts)
    clean_s = cpu_s / stolen ** _counted(time_s * given.sum(axis=1) / cpu_s, stolen, shares)
    given_share = given / given.sum(axis=1, keepdims=True)
    # Jobs that wait for a core do not disturb the others.
    running = place[np.minimum(numbers, max(cores, known[0])) - 1]
    of_core = _slowdown(clean_s, given_share, running, _dummies(groups))
    work_s = clean_s * (given_share / of_core).sum(axis=1)
    on_core_s = time_s[:, None] * given
    effects = _dummies(place)
    # With these weights, a single speed is the ratio of both sums, however the times scatter.
    weight = 1 / np.sqrt(time_s)
    speed, _ = nnls((on_core_s @ effects) * weight[:, None], work_s * weight)
    slowdown = 1 / np.maximum(speed, LEAST_SPEED)[place]
    return Contention((on_core_s / slowdown).sum(axis=1), work_s, slowdown, counts)


def _dummies(groups: Ints) -> Floats:
    """Return a column for each group, which is 1 in the rows of its members and otherwise 0."""
    return np.eye(int(groups.max()) + 1)[groups]


def _slowdown(time_s: Floats, given: Floats, place: Ints, groups: Floats) -> Floats:
    """Return the slow-down by number of jobs, relative to the lowest known number.

    Args:
        time_s: time of each batch.
        given: time on a core with 1, 2, ... jobs, per time of the batch.
        place: the number of the estimated effect, by number of jobs.
        groups: columns that tell batches of equal work.
    """
    # The first effect is 1, because only its product with the work is known.
    free = place[None, :] == np.arange(1, place.max() + 1)[:, None]  # shape (effects, most)
    effects = np.zeros(len(free))
    for _ in range(ROUNDS):
        done = given / np.exp(effects @ free)
        total = done.sum(axis=1, keepdims=True)
        design = np.column_stack([groups, (done / total) @ free.T])
        left = np.log(time_s) + np.log(total[:, 0])
        effects += np.linalg.lstsq(design, left)[0][groups.shape[1] :]
    slowdown: Floats = np.exp(effects @ free)
    return slowdown


def _counted(longer: Floats, stolen: Floats, shares: Floats) -> float:
    """Return the share of stolen time that the kernel counts as core time; kernels differ in it.

    If it counts nothing, then the time of a batch without its stolen time does not depend on it.
    """
    if np.std(np.log(stolen)) < LEAST_SPREAD:
        return 0.0
    slope = np.linalg.lstsq(np.column_stack([shares, np.log(stolen)]), np.log(longer))[0][-1]
    return float(np.clip(-slope, 0, 1))
