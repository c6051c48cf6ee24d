"""The multi-query scheduler: who is served when machines are short, and who has to go."""

from dataclasses import replace
from math import nan
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from compass_worlds import ONE_CLOUD
from worlds import queries_at, scenario, tables_of

from planners.compass.compass import Compass
from planners.compass.runtime.watch import NoRuntime
from planners.compass.scheduling.least_cost import LeastCost
from planners.compass.scheduling.scheduler import Bid, FirstComeFirstServed, PriceMatching
from planners.compass.search.history import WarmStart
from planners.compass.search.search import CmboSearch
from planners.compass.state.pools import BACKHAUL, Fleet, Market, Pools, ResourceUse, Standing, Uses
from planners.compass.state.records import Offer
from scenarios.cluster import Node
from scenarios.random_streams import stream
from scenarios.slo import Tier

SCHEDULERS = [FirstComeFirstServed(), PriceMatching()]
SMALL = {"cloud": Node("cloud", "g2-standard-4")}
TAKES = ResourceUse(np.array([0, 1, 0]), np.array([1.0, 1.0, 0.0]), np.ones(3))


class Cluster:
    """A context at which plans fit as long as there is room; a plan is what it takes.

    Args:
        capacity: of cores and GPUs.
    """

    waiting = running = searching = departed = ()
    loading: ClassVar = {}
    trigger, now_s = "arrival", 0.0

    def __init__(self, *capacity):
        self.capacity = np.array([*capacity, 0.8])
        self.bulk = self.world = self

    def ready_s(self, query, plan):
        return 0.0

    def first_that_fits(self, wanted, beside=()):
        free, places = self.capacity.copy(), []
        for plans in (*([plan] for _, plan in beside), *(plans for _, plans in wanted)):
            fits = [bool((np.array(plan) <= free + 1e-9).all()) for plan in plans]
            places.append(fits.index(True) if any(fits) else None)
            if any(fits):
                free -= np.array(plans[places[-1]])
        return places[len(beside) :]

    def plan_of(self, query):
        return None

    def charge(self, query, operation, count=1):
        """Charge nothing."""

    @property
    def market(self):
        names = ("cloud", "cores"), ("cloud", "GPUs"), BACKHAUL
        pools = Pools(
            names, self.capacity, np.array([0.05, 3.0, 0.0]), self.capacity, np.zeros(3), 0.8
        )
        standing = Standing(Fleet.of({}), TAKES, pools)
        return Market(pools, PriceMatching().prices(pools, standing), standing)


NOWHERE = Uses(np.array([-1]), np.array([0]), np.array([0.0]))


def bid(number, *plans, feasible=True, probability=1.0):
    """Return a bid by a query for plans that take so many cores and GPUs."""
    plans = [(*each, 0.0) for each in plans]
    offers = [
        Offer(at, 0, 1.0, 0.9, 1.0, NOWHERE, np.array(plan), feasible, probability)
        for at, plan in enumerate(plans)
    ]
    return Bid(SimpleNamespace(id=number), offers, plans)


def awarded(scheduler, cluster, *bids):
    """Return the number of the plan that each query gets, by id."""
    awards = scheduler.award(cluster, cluster.market, bids)
    assert len({award.bid.query.id for award in awards}) == len(awards), "one for each at most"
    total = np.sum([award.plan for award in awards], axis=0) if awards else np.zeros(3)
    assert (total <= cluster.capacity + 1e-9).all()
    for award in awards:
        assert award.plan == award.bid.plans[award.chosen]
        assert award.offer is award.bid.offers[award.chosen]
    return {award.bid.query.id: award.chosen for award in awards}


class TestAwards:
    """Bids for machines that are short."""

    @pytest.mark.parametrize("scheduler", SCHEDULERS)
    def test_with_room_for_all_each_gets_its_best_plan(self, scheduler):
        bids = [bid(number, (1.0, 0.0), (0.0, 0.5)) for number in range(3)]
        assert awarded(scheduler, Cluster(50.0, 4.0), *bids) == {0: 0, 1: 0, 2: 0}

    def test_the_first_come_takes_what_three_could_share(self):
        bids = [bid(0, (3.0, 0.0)), *(bid(number, (1.0, 0.0)) for number in (1, 2, 3))]
        assert awarded(FirstComeFirstServed(), Cluster(3.0, 1.0), *bids) == {0: 0}
        assert awarded(PriceMatching(), Cluster(3.0, 1.0), *bids) == {1: 0, 2: 0, 3: 0}

    @pytest.mark.parametrize("scheduler", SCHEDULERS)
    def test_who_finds_its_best_plan_taken_gets_the_next(self, scheduler):
        bids = [bid(number, (1.0, 0.0), (0.0, 0.9)) for number in range(3)]
        found = awarded(scheduler, Cluster(2.0, 1.0), *bids)
        assert sorted(found.values()) == [0, 0, 1]

    def test_the_first_query_gets_its_second_plan_before_others_get_their_first(self):
        bids = [bid(0, (3.0, 0.0), (2.0, 0.0)), bid(1, (2.0, 0.0))]
        assert awarded(FirstComeFirstServed(), Cluster(2.0, 1.0), *bids) == {0: 1}

    def test_a_feasible_plan_is_worth_two_that_are_not(self):
        hopeless = [bid(number, (0.0, 0.5), feasible=False, probability=0.4) for number in (0, 1)]
        assert awarded(PriceMatching(), Cluster(1.0, 1.0), hopeless[0], bid(2, (0.0, 1.0))) == {
            2: 0
        }
        two = bid(3, (1.0, 0.0), feasible=False, probability=0.4)
        both = awarded(PriceMatching(), Cluster(1.0, 1.0), *hopeless, two, bid(2, (1.0, 1.0)))
        assert both == {0: 0, 1: 0, 3: 0}, "three are worth more than one"

    @pytest.mark.parametrize("scheduler", SCHEDULERS)
    def test_nobody_is_served_by_what_does_not_fit(self, scheduler):
        assert awarded(scheduler, Cluster(2.0, 1.0), bid(0, (3.0, 0.0), (0.0, 2.0))) == {}
        assert awarded(scheduler, Cluster(2.0, 1.0)) == {}

    def test_nobody_pays_for_the_machines_of_many_others(self):
        """At a price of 1 a core, a plan of three costs what three queries would be worth."""
        cluster = Cluster(9.0, 1.0)
        dear = Market(cluster.market.pools, np.ones(3), cluster.market.standing)
        for cores, served in ((2.0, True), (3.0, False)):
            awards = PriceMatching(value=2.5).award(cluster, dear, [bid(0, (cores, 0.0))])
            assert bool(awards) == served

    def test_best_effort_is_worth_less_than_service(self):
        cluster = Cluster(9.0, 1.0)
        dear = Market(cluster.market.pools, np.ones(3), cluster.market.standing)
        for feasible, probability in ((True, 1.0), (False, 0.0), (False, 0.4)):
            bids = [bid(0, (1.0, 0.0), feasible=feasible, probability=probability)]
            assert bool(PriceMatching().award(cluster, dear, bids)) == feasible

    def test_best_effort_that_may_well_do_is_worth_more(self):
        cluster = Cluster(9.0, 1.0)
        dear = Market(cluster.market.pools, np.ones(3), cluster.market.standing)
        bids = [bid(0, (1.0, 0.0), feasible=False, probability=0.6)]
        assert PriceMatching().award(cluster, dear, bids)

    def test_of_plans_at_one_price_the_surer_is_chosen(self):
        cluster = Cluster(9.0, 1.0)
        offers = bid(0, (1.0, 0.0), (1.0, 0.0))
        offers = replace(
            offers, offers=[replace(offers.offers[0], probability=0.7), offers.offers[1]]
        )
        sure = replace(cluster.market, value=1.0)
        assert PriceMatching().award(cluster, sure, [offers])[0].chosen == 1
        assert PriceMatching().award(cluster, cluster.market, [offers])[0].chosen == 0

    def test_on_contended_instances_matching_serves_no_fewer(self):
        served = {scheduler: [] for scheduler in SCHEDULERS}
        for number in range(40):
            rng = stream(number, "contended")
            cluster = Cluster(8.0, 3.0)
            bids = [
                bid(query, *rng.uniform(0.2, [3.0, 1.5], (3, 2)) * (rng.random((3, 2)) < 0.7))
                for query in range(12)
            ]
            bids = [each for each in bids if min(map(sum, each.plans)) > 0]
            for scheduler, counts in served.items():
                counts.append(len(awarded(scheduler, cluster, *bids)))
        first_come, matched = (np.array(served[scheduler]) for scheduler in SCHEDULERS)
        assert first_come.mean() < 8, "not all can be served"
        assert matched.sum() > 1.1 * first_come.sum()
        assert (matched >= first_come).mean() > 0.9


class Keen(PriceMatching):
    """Would move or evict everybody at once."""

    def overpaying(self, context, market):
        return list(context.running)

    def better(self, market, query, offers, now):
        return []

    def evicts(self, market, query):
        return True


class Strict(Keen):
    """Besides, has nothing for whom no plan would serve."""

    def award(self, context, market, bids):
        return super().award(context, market, [bid for bid in bids if bid.offers[0].feasible])


def crowd(many):
    return queries_at(*(1.0 + number for number in range(many)), latency_s=1.0, accuracy=0.9)


def decided(scheduler, workload, nodes, horizon_s=40.0, seed=1):
    planner = Compass(
        search=CmboSearch(warm_start=WarmStart(histories=0, ahead=0)),
        scheduler=scheduler,
        runtime=NoRuntime(),
        improve_s=0.0,
    )
    return tables_of(scenario(horizon_s, workload=workload, nodes=nodes), planner, seed)


class TestInTheWorld:
    """Compass whole, in a crowd."""

    def test_nobody_is_moved_or_evicted_unless_others_wait(self):
        alone = decided(Keen(), crowd(4), ONE_CLOUD)["decisions"]
        assert alone["outcome"].to_list() == ["deployed"] * 4
        assert set(alone["trigger"]) == {"arrival"}
        crowded = decided(Keen(), crowd(16), SMALL)["decisions"]
        released = crowded.filter(pl.col("outcome") == "released")
        assert released.height > 0
        assert set(released["trigger"]) == {"tick"}

    def test_nobody_is_evicted_for_those_that_no_plan_would_serve(self):
        tiers = {"any": Tier(1.0, 1.0, 0.9), "hopeless": Tier(1.0, 1e-6)}
        workload = replace(crowd(8), tiers=tiers)
        tables = decided(Strict(), workload, ONE_CLOUD)
        queries = tables["queries"].group_by("tier").agg(pl.col("deployments").sum(), pl.len())
        assert dict(queries.select("tier", "deployments").iter_rows())["hopeless"] == 0
        assert queries["len"].min() >= 2
        assert "released" not in tables["decisions"]["outcome"].to_list()

    def test_first_come_first_served_leaves_everybody_where_they_are(self):
        decisions = decided(FirstComeFirstServed(), crowd(16), SMALL)["decisions"]
        assert set(decisions["outcome"]) <= {"deployed", "refused"}
        assert decisions.filter(pl.col("outcome") == "deployed")["query"].is_unique().all()

    def test_in_a_crowd_matching_serves_no_fewer(self):
        served = {}
        for scheduler in SCHEDULERS:
            tables = decided(scheduler, crowd(16), SMALL)
            served[scheduler] = tables["queries"].filter(pl.col("deployments") > 0).height
        first_come, matched = served.values()
        assert 8 <= first_come < matched <= 16


class TestBetter:
    """Plans to which a running query should move."""

    POOLS = Pools((("cloud", "cores"), ("cloud", BACKHAUL)), *np.ones((4, 2)), 0.8)

    def better(self, scheduler, standing, *probabilities, costs=0.0):
        """Return of plans that are so likely to do which are better than one that has 0.9."""
        uses = Uses(np.array([0]), np.array([0]), np.array([standing]), 0.0)
        fleet = Standing(Fleet.of({0: uses}), TAKES, self.POOLS)
        market = Market(self.POOLS, np.array([1.0, 0.0]), fleet, scheduler.worth)
        now, *offers = (
            Offer(
                0, 0, 1.0, 0.9, 0.0, uses, np.array([costs, 0.0]), feasible=True, probability=each
            )
            for each in (0.9, *probabilities)
        )
        found = scheduler.better(market, SimpleNamespace(id=0), offers, now)
        return [each.probability for each in found]

    def test_from_a_free_plan_only_to_a_clearly_surer_one(self):
        assert self.better(PriceMatching(), 0.0, 0.5, 0.9, 0.901, 0.95) == [0.95]

    def test_where_only_price_counts_no_plan_is_better_than_a_free_one(self):
        assert self.better(LeastCost(), 0.0, 0.5, 0.9, 0.99) == []

    def test_otherwise_to_a_plan_that_saves_enough_of_its_price(self):
        assert self.better(LeastCost(gain=0.3), 0.5, 0.5, costs=0.0) == [0.5]
        assert self.better(LeastCost(gain=0.3), 0.5, 0.5, costs=0.9) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steepness", -1.0),
        ("steepness", nan),
        ("value", -1.0),
        ("value", nan),
        ("best_effort", -1.0),
        ("gain", 1.5),
        ("most_moves", 1.5),
    ],
)
def test_parameters_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}: must"):
        PriceMatching(**{name: value})
