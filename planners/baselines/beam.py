"""JellyBean's two stages: beam search over models, then tiered assignment of workers.

Facts from the authors' artifact (github.com/libertyeagle/JellyBean, ``optimizer/``).
"""

from collections.abc import Sequence
from heapq import nsmallest

from planners.common.offline_profiles import own_knobs
from planners.common.workers import Crew, Labour, Worker
from scenarios.application import KnobValue, Pipeline
from sim import Estimate, Plan, PlanningContext


def select_models(
    pipeline: Pipeline,
    profile: Sequence[Estimate],
    floor: float,
    price_usd_per_s: Sequence[float],
    width: int,
) -> list[Estimate]:
    """Return the cheapest configurations that reach an accuracy, by beam search.

    Operators are settled from the sink upward. A state is the knob values of those settled; it is
    kept if some profiled configuration completes it and reaches the floor, and costs what the
    settled operators cost in the cheapest of these. Of all states the ``width`` cheapest are kept;
    among equals, those of the most accurate completion.

    Args:
        pipeline: the pipeline, N operators.
        profile: what is known of its configurations.
        floor: least accuracy.
        price_usd_per_s: price of one profiled second of each operator, shape (N,).
        width: states kept.

    Returns:
        At most ``width`` configurations, the cheapest first; none if none reaches the floor.
    """
    reaching = [each for each in profile if each.accuracy_mean >= floor]
    costs = {id(each): each.measurement.operator_mean_s * price_usd_per_s for each in reaching}
    states: set[tuple[KnobValue, ...]] = {()}
    for operator in reversed(range(len(pipeline.operators))):
        own = own_knobs(pipeline, operator)
        best: dict[tuple[KnobValue, ...], tuple[float, float]] = {}
        for estimate in reaching:
            values = estimate.measurement.configuration.values
            if values[own.stop :] in states:
                rank = float(costs[id(estimate)][operator:].sum()), -estimate.accuracy_mean
                settled = values[own.start :]
                best[settled] = min(rank, best.get(settled, rank))
        states = set(nsmallest(width, best, key=best.__getitem__))
    kept = [each for each in reaching if each.measurement.configuration.values in states]
    return sorted(kept, key=lambda each: (costs[id(each)].sum(), -each.accuracy_mean))


def assign_workers(
    context: PlanningContext,
    estimate: Estimate,
    crew: Crew,
    labour: Labour,
    requests_per_s: float,
    width: int,
) -> list[tuple[float, Plan]]:
    """Return plans of one configuration whose workers keep up with a rate, the cheapest first.

    Operators get workers in the order in which they are numbered, which is one in which data flow.
    On each node at or above that of the operator before, even where that is on another branch, the
    cheapest worker to be had is taken, or as many of a kind as the rate needs,
    and of equals the fastest. The ``width`` cheapest states are kept after each operator.

    Args:
        context: the planning context.
        estimate: what is known of the configuration.
        crew: who could run it.
        labour: who is to be had.
        requests_per_s: the rate that each operator must keep up with.
        width: states kept.

    Returns:
        (list price in dollars per hour, plan); none if some operator finds no worker.
    """
    configuration = estimate.measurement.configuration
    nodes = list(context.world.cluster.nodes)
    states: list[tuple[float, tuple[Worker, ...]]] = [(0.0, ())]
    for operator, time_s in enumerate(estimate.measurement.operator_mean_s.tolist()):
        cheapest: dict[str, Worker] = {}
        for one in crew[operator]:
            worker = one.enough_for(requests_per_s * time_s, context.world.cluster.max_utilisation)
            if labour.offers(operator, configuration, worker):
                rival = cheapest.get(worker.node, worker)
                cheapest[worker.node] = min(worker, rival, key=_by_price)
        grown = [
            (price + cheapest[node].price_usd_per_hour, (*chosen, cheapest[node]))
            for price, chosen in states
            for node in nodes[nodes.index(chosen[-1].node) if chosen else 0 :]
            if node in cheapest
        ]
        states = nsmallest(width, grown, key=lambda state: state[0])
    return [
        (
            price,
            Plan(
                configuration,
                tuple(worker.node for worker in chosen),
                tuple(worker.allocation for worker in chosen),
            ),
        )
        for price, chosen in states
    ]


def _by_price(worker: Worker) -> tuple[float, float]:
    return worker.price_usd_per_hour, worker.latency_factor
