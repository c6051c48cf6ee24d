"""Compiled functions: plans' probabilities of meeting a latency bound, and the best plan."""

from math import erfc, log, sqrt
from typing import NamedTuple

import numpy as np

from scenarios.compiled import compiled
from scenarios.numerics import Floats, Ints


class PlanLatency(NamedTuple):
    """Beliefs about the latency of P plans of C configurations of N operators; see `Cmbo`."""

    configuration: Ints
    factors: Floats
    time_s: Floats  # median of each operator's time, of shape (C, N)
    log_sd: Floats  # standard deviation of that time's logarithm, of shape (C, N)
    transfer_s: Floats
    fixed_s: Floats
    bound: tuple[float, float, float, float]  # see ``Cmbo._bound``


@compiled
def keeps_bound(latency: PlanLatency, plan: int) -> float:
    """Return a plan's probability of meeting the latency bound, Phi(log(left / median) / sd).

    Computing time is log-normal. ``Cmbo._compute`` describes its ``median``, and the deviation
    ``sd`` of its log. ``left`` is the time that the bound leaves for computing, and Phi is the
    normal distribution function.
    """
    configuration, factors, time_s, log_sd, transfer_s, fixed_s, bound = latency
    bound_s, moving, still, error = bound
    if bound_s == np.inf:
        return 1.0
    left_s = (bound_s - still * fixed_s[plan]) / moving - transfer_s[plan]
    if not left_s > 0:
        return 0.0  # for any computing time
    at = configuration[plan]
    compute_s, variance = 0.0, 0.0
    for operator in range(factors.shape[1]):
        its_s = factors[plan, operator] * time_s[at, operator]
        compute_s += its_s
        variance += (its_s * log_sd[at, operator]) ** 2
    compute_s = max(compute_s, 1e-300)
    sd = sqrt(variance / compute_s**2 + error)
    gap = log(left_s) - log(compute_s)
    if sd <= 0:
        return 1.0 if gap >= 0 else 0.0
    return 0.5 * erfc(-gap / (sd * sqrt(2.0)))


@compiled
def all_keep_bound(latency: PlanLatency) -> Floats:
    """Return each plan's probability of meeting the latency bound, of shape (P,)."""
    fast = np.empty(len(latency.configuration))
    for plan in range(len(fast)):
        fast[plan] = keeps_bound(latency, plan)
    return fast


@compiled
def best_saving(
    reference: float, cost: Floats, accurate: Floats, latency: PlanLatency, least: float
) -> int:
    """Return the plan with the largest feasibility-weighted saving, or -1 if no plan saves.

    The feasibility-weighted saving is the saving times the probability of meeting the SLO, as in
    Bayesian optimisation with inequality constraints (Gardner et al., 2014). Among equal plans, the
    first is returned. Probabilities of latency are costly to compute. So plans are first ruled out
    by an upper bound, for which this probability is taken as 1 (branch and bound).

    ``reference`` is the cost from which savings are counted, and ``cost`` is the cost of each plan,
    of shape (P,). ``accurate`` is each configuration's probability of being accurate enough, of
    shape (C,); a 0 excludes the configuration. Plans whose probability of meeting the SLO is below
    ``least`` are ignored.
    """
    configuration = latency.configuration
    top, first = 0.0, -1
    for plan in range(len(cost)):
        most = max(reference - cost[plan], 0.0) * accurate[configuration[plan]]
        if most > top and accurate[configuration[plan]] >= least:
            top, first = most, plan
    if first < 0:
        return -1
    # The most promising plan comes first, so that most others can be skipped.
    best, chosen = 0.0, -1
    for at in range(-1, len(cost)):
        plan = first if at < 0 else at
        likely = accurate[configuration[plan]]
        most = max(reference - cost[plan], 0.0) * likely
        if most < best or most <= 0 or likely < least:
            continue
        likely *= keeps_bound(latency, plan)
        utility = max(reference - cost[plan], 0.0) * likely
        if likely < least or utility <= 0:
            continue
        if utility > best or (utility == best and plan < chosen):
            best, chosen = utility, plan
    return chosen
