"""Contexts for tests of Compass's parts: a real one in a tiny world, and a pool of items."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from worlds import Does, Remembers, queries_at, run, scenario

from planners.compass.scheduling.scheduler import PriceMatching, Scheduler
from planners.compass.state.pools import Fleet, Market, Pools, ResourceUse, Standing, Uses
from scenarios.cluster import Node
from scenarios.workload import Workload
from sim import Choices, PlanningContext
from sim.api.estimate import Estimate, Measurement
from sim.controlplane.world import World

ONE_CLOUD = {"cloud": Node("cloud", "a2-highgpu-1g")}


def with_context(
    action: Callable[[PlanningContext], None],
    workload: Workload | None = None,
    horizon_s: float = 2.0,
    budget_s: float = 5.0,
    seed: int = 1,
    **more: object,
) -> World:
    """Let a test act at every trigger of a small world, and return the world.

    By default one query arrives, at one second of two.
    """
    raised: list[Exception] = []

    def act(context: PlanningContext) -> None:
        try:
            action(context)
        except Exception as error:
            raised.append(error)
            raise

    made = run(
        scenario(horizon_s, workload=workload or queries_at(1.0), **more),
        Does(act, budget_s=budget_s),
        seed,
    )
    if raised:
        raise raised[0]
    return made


def market(
    context: PlanningContext,
    uses: dict[int, Uses] | None = None,
    scheduler: Scheduler | None = None,
    prices: dict[str, float] | None = None,
) -> Market:
    """Return the market of a context.

    Args:
        context: the planning context.
        uses: what plans in force use, by query.
        scheduler: who sets prices; by default as Compass does.
        prices: price of a unit of each kind of pool instead; nothing for those that are left out.
    """
    pools = Pools.of(context)
    query = (*context.waiting, *context.running)[0]
    takes = ResourceUse.of(context, pools, context.bulk.view(query, Choices()))
    standing = Standing(Fleet.of(uses or {}), takes, pools)
    if prices is not None:
        set_ = np.array([prices.get(kind, 0.0) for _, kind in pools.names])
        return Market(pools, set_, standing)
    scheduler = scheduler or PriceMatching()
    return Market(pools, scheduler.prices(pools, standing), standing, scheduler.worth)


@dataclass
class Asker:
    """A query as far as profilers look at one.

    Args:
        slo: what it is promised.
        dataset: its data set.
    """

    slo: object
    dataset: str = "pool"


class Pool(Remembers):
    """A context that offers one pool of items that are profiled in an order of chance.

    Args:
        accuracy: of each item, shape (n,).
        features: of each item, shape (n, F).
        rng: draws the order.
        memory: what planners remember; share it between pools of one data set.

    Attributes:
        asked: how many items rested on each estimate, in order.
        items: numbers in the pool of those measured by the last estimate.
    """

    def __init__(self, accuracy, features, rng, memory=None) -> None:
        self._order = rng.permutation(len(accuracy))
        self._accuracy, self._features = accuracy[self._order], features[self._order]
        self._unordered = features
        self.memory = {} if memory is None else memory
        self._known = np.zeros(len(accuracy), dtype=bool)
        self.asked: list[int] = []
        self.bulk = self

    @property
    def items(self) -> np.ndarray:
        return self._order[self._known]

    def features(self, of):
        return self._unordered if isinstance(of, str) else self._features

    def profile(self, query, configuration, samples) -> Estimate:
        if isinstance(samples, int):
            samples = np.arange(samples)
        self._known[samples] = True
        items = np.flatnonzero(self._known)
        if len(samples):
            self.asked.append(len(items))
        count = len(items)
        return Estimate(
            Measurement(
                configuration,
                items,
                self._accuracy[items],
                np.ones((count, 1)),
                np.ones(count),
                np.ones(count),
            )
        )
