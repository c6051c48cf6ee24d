"""Which configurations an optimum over several queries can do without."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from scenarios.application import Pipeline

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def needed_configurations(
    pipeline: Pipeline, feasible: Booleans, load: Floats, kept: Sequence[int]
) -> Booleans:
    """Mark the configurations that are left when interchangeable ones are struck out.

    Stations are shared by operator key, the knob values up to an operator. Let u and v be values of
    one operator's own knobs. If, with all other knobs alike, every layout that is feasible for a
    query with u is so with v, and no station has more load with v, then all queries that use u can
    move to v together: the stations before the operator stay as they are, those from it on have
    the same members or more in common. So an optimum remains that does without u, after given
    values of the knobs before it.

    Args:
        pipeline: the operators and their knobs.
        feasible: which layouts do for a query with a configuration, shape (queries, layouts, C).
        load: what a request takes of a station of each kind, for each kind of query, not less than
            0, shape (..., C); infinite where no such station exists.
        kept: configurations that stay whatever others are like.

    Returns:
        Shape (C,).
    """
    alive: Booleans = np.asarray(feasible.any(axis=(0, 1)))
    holds = np.zeros(len(alive), dtype=bool)
    holds[list(kept)] = True
    every = np.moveaxis(feasible, -1, 0).reshape(len(alive), -1)
    loads = np.moveaxis(load, -1, 0).reshape(len(alive), -1)
    before = len(alive) + 1
    while before > alive.sum():
        before = int(alive.sum())
        for group in _interchangeable(pipeline):
            for u, v in product(range(len(group)), repeat=2):
                worse, better = group[u], group[v]
                worse, better = worse[alive[worse]], better[alive[worse]]
                if (
                    u != v
                    and len(worse)
                    and alive[better].all()
                    and not holds[worse].any()
                    and not (every[worse] & ~every[better]).any()
                    and (loads[better] <= loads[worse] * (1 + 1e-12)).all()
                ):
                    alive[worse] = False
    return alive


def _interchangeable(pipeline: Pipeline) -> Iterator[Integers]:
    """Yield configurations that differ in one operator's own knobs only, last operators first.

    Each array has a row for each value of these knobs, and a column for each value of those after.
    """
    shape = tuple(len(knob.choices) for knob in pipeline.knobs)
    index = np.arange(len(pipeline.configurations)).reshape(shape or (1,))
    end = len(shape)
    for operator in reversed(pipeline.operators):
        begin = end - len(operator.knobs)
        if begin < end:
            after = int(np.prod(shape[end:], dtype=np.int64))
            own = int(np.prod(shape[begin:end], dtype=np.int64))
            yield from index.reshape(-1, own, after)
        end = begin
