"""The linear program of the queries that prices alone do not settle."""

import numpy as np

from planners.matching.problem import Floats, Integers, Problem

SHORT = 100.0
"""What a card that is missing costs, over the largest weight: what is settled may take too much."""


def solve(problem: Problem, rows: Integers, used: Floats) -> Floats:
    """Return the best shares of some plans beside what others take.

    A corner of the feasible set, by HiGHS: few queries are split, no more than there are pools and
    nodes.

    Args:
        problem: the problem.
        rows: the plans, ascending, shape (k,).
        used: what the queries that are settled take of the pools, shape (R,).

    Returns:
        The shares, shape (k,).
    """
    from scipy.optimize import linprog  # noqa: PLC0415 -- takes long to import
    from scipy.sparse import block_array, coo_array  # noqa: PLC0415

    supply, count = problem.supply, len(rows)
    if not count:
        return np.zeros(0)
    _, number = np.unique(problem.query[rows], return_inverse=True)
    once = coo_array((np.ones(count), (number, np.arange(count))))
    right = [
        np.where(supply.plain, np.maximum(0.0, supply.capacity - used), -used),
        np.ones(once.shape[0]),
        np.array([float(cards.count) for cards in supply.cards]),
    ]
    blocks = [[problem.taken[rows].T], [once]]
    cost = [-problem.weight[rows]]
    if supply.cards:
        layouts = np.concatenate([cards.layouts for cards in supply.cards])
        node = np.repeat(np.arange(len(supply.cards)), [len(each.layouts) for each in supply.cards])
        pool = np.concatenate([np.broadcast_to(c.pools, c.layouts.shape) for c in supply.cards])
        column = np.broadcast_to(np.arange(len(layouts))[:, None], layouts.shape)
        shape = len(supply.capacity), len(layouts)
        gives = coo_array((-layouts.ravel().astype(float), (pool.ravel(), column.ravel())), shape)
        cut = coo_array((np.ones(len(layouts)), (node, np.arange(len(layouts)))))
        missing = coo_array(-np.eye(len(supply.cards)))
        blocks = [
            [*blocks[0], gives, None],
            [*blocks[1], None, None],
            [None, cut, missing],
        ]
        cost += [np.zeros(len(layouts)), np.full(len(supply.cards), SHORT * problem.largest)]
    matrix = block_array(blocks).tocsr()
    limit = np.concatenate(right)
    result = linprog(np.concatenate(cost), matrix, limit[: matrix.shape[0]], method="highs-ds")
    return np.zeros(count) if result.x is None else np.asarray(result.x[:count])
