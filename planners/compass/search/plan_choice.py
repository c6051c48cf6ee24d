"""Compiled choice among a query's plans: which would do, what they lose, which to offer."""

import numpy as np

from planners.common.arrays import Booleans, Floats, Integers
from planners.compass.search.query_plans import PayablePlans
from scenarios.compiled import compiled
from scenarios.numerics.sums import total

RISKY, RISKIEST = 0.6, 0.3
"""Probability of being in time just beyond the headroom, and just within the bound: a guess."""


@compiled
def kept_in_time(latency_s: Floats, bound_s: float, headroom: float) -> Floats:
    """Return the probability that predictions keep a bound, shape (k,)."""
    kept = np.ones(len(latency_s))
    if bound_s == np.inf:
        return kept
    for plan in range(len(latency_s)):
        late = max(0.0, latency_s[plan] / bound_s - headroom) / max(1 - headroom, 1e-9)
        if late > 0:
            kept[plan] = RISKY - (RISKY - RISKIEST) * late if late <= 1 else 0.0
    return kept


@compiled
def doubtful(in_time: Floats, plans: Integers, touches_device: Booleans) -> Integers:
    """Return which of k plans might keep their bound, and a slower device might break it."""
    rows = np.empty(len(plans), dtype=np.int64)
    count = 0
    for row in range(len(plans)):
        if in_time[row] > 0 and touches_device[plans[row]]:
            rows[count] = row
            count += 1
    return rows[:count]


@compiled
def choice(
    plans: PayablePlans,
    accurate: Booleans,
    sure: Floats,
    agreed: Booleans,
    now: int,
    station: Integers,
    operator_key: Integers,
    backhaul_up_s: Floats,
    rate: float,
) -> tuple[Integers, Integers, Floats, Integers, Integers, Floats, Floats]:
    """Return the plans of `Beliefs.candidates`, as the fields of `Candidates`.

    ``accurate`` and ``sure`` are of `Believed`, ``agreed`` marks shared configurations, each (C,);
    ``now`` is the number of the plan in force.
    """
    configuration, number, in_time = plans.configuration, plans.number, plans.in_time
    rows, probability = np.empty(len(number), dtype=np.int64), np.empty(len(number))
    count = 0
    for plan in range(len(number)):
        at, its = configuration[plan], number[plan]
        likely = sure[at] * in_time[plan]
        good = accurate[at] and likely > 0
        if good and not agreed[at]:
            good = (station[its] < 0).all()
        if good or its == now:
            rows[count], probability[count] = plan, likely
            count += 1
    rows = rows[:count]
    numbers = number[rows]
    return (
        configuration[rows],
        numbers,
        probability[:count],
        station[numbers],
        operator_key[numbers],
        plans.filled[rows],
        rate * backhaul_up_s[numbers],
    )


@compiled
def in_reach(
    configuration: Integers,
    station: Integers,
    factors: Floats,
    time_s: Floats,
    sent_s: Floats,
    fixed_s: Floats,
    cost: Floats,
    most_s: float,
) -> Booleans:
    """Tell of which configurations some plan with a station takes at most ``most_s``, shape (C,).

    ``time_s`` is (C, N), and ``cost`` infinite for impossible plans; see `QueryPlans`.
    """
    found = np.zeros(len(time_s), dtype=np.bool_)
    for plan in range(len(configuration)):
        its = configuration[plan]
        if not found[its] and cost[plan] < np.inf and (station[plan] >= 0).any():
            latency_s = total(factors[plan] * time_s[its]) + sent_s[plan] + fixed_s[plan]
            found[its] = latency_s <= most_s
    return found


@compiled
def losses(
    plans: PayablePlans, accurate: Booleans, sure: Floats, most_s: float, value: float
) -> Floats:
    """Return the losses of k plans, infinite if accuracy or latency misses; see `Market.loss`.

    ``accurate`` and ``sure`` are of `Believed`; latency may be at most ``most_s``.
    """
    lost = np.full(len(plans.configuration), np.inf)
    for plan in range(len(lost)):
        at = plans.configuration[plan]
        if accurate[at] and plans.latency_s[plan] <= most_s:
            lost[plan] = plans.price[plan] + (1 - sure[at] * plans.in_time[plan]) * value
    return lost


@compiled
def undominated(demand: Floats, loss: Floats, otherwise: Floats, most: int) -> Integers:
    """Return plans by rising loss that take less of some pool than each of less loss.

    At most ``most`` of k plans, by their ``demand``, (k, R). ``loss``, (k,), is infinite for plans
    that do not count; ``otherwise``, (k,), breaks ties.
    """
    plans, pools = demand.shape
    left = loss < np.inf
    chosen = np.empty(most, dtype=np.int64)
    for count in range(most):
        best = -1
        for plan in range(plans):
            if left[plan] and (
                best < 0
                or loss[plan] < loss[best]
                or (loss[plan] == loss[best] and otherwise[plan] < otherwise[best])
            ):
                best = plan
        if best < 0:
            return chosen[:count]
        chosen[count] = best
        for plan in range(plans):
            no_less = True
            for pool in range(pools):
                no_less = no_less and demand[best, pool] <= demand[plan, pool] + 1e-12
            left[plan] = left[plan] and not no_less
    return chosen
