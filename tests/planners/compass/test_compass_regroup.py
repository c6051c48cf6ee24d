"""Regrouping: queries that run make room by agreeing with those that wait."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from compass_worlds import ONE_CLOUD, market, with_context
from worlds import queries_at, run, scenario, tables_of

from planners.compass.compass import Compass
from planners.compass.runtime.watch import NoRuntime
from planners.compass.scheduling import repacking
from planners.compass.scheduling.repacking import (
    REPACK,
    REPACKED,
    Attempt,
    PendingRepack,
    Regrouping,
    ShareStations,
    StayAsTheyAre,
    to_order,
    under_way,
)
from planners.compass.scheduling.scheduler import FirstComeFirstServed, PriceMatching, Scheduler
from planners.compass.scheduling.station_table import StationTable
from planners.compass.search.search import CmboSearch
from planners.compass.state.pools import CORES, GPUS, Fleet
from planners.compass.state.records import (
    Offer,
    SearchState,
    keep_search_state,
    publish_search_state,
    search_state,
)
from scenarios.cluster import Node
from scenarios.slo import Tier
from sim import Choices

ONE_GPU = {"edge": Node("edge", "g2-standard-8", standby=1)}
TIERS = {"easy": Tier(1.0, 2.0, 0.7, None), "hard": Tier(1.0, 2.0, 0.97, None)}
BOTH = {"LibriSpeech": 1.0, "VOiCES": 1.0}


class Crowd:
    """Eight queries of different content and floors that come to one GPU, which has no partitions.

    Args:
        regrouping: how those that run are matched anew.
        seed: of the run.
    """

    def __init__(self, regrouping, seed):
        arrivals = queries_at(*(1.0 + 8 * number for number in range(8)), datasets=BOTH)
        planner = Compass(scheduler=PriceMatching(regrouping=regrouping), runtime=NoRuntime())
        workload = replace(arrivals, tiers=TIERS)
        tables = tables_of(scenario(240.0, workload=workload, nodes=ONE_GPU), planner, seed)
        self.decisions = tables["decisions"]
        late = tables["windows"].filter(pl.col("start_s") >= 120)
        self.met, self.windows = int(late["met"].sum()), late.height


def test_sharing_serves_more_than_leaving_first_choices_as_they_are():
    """The first ones take what is cheapest for them, and the later ones need better."""
    stay = [Crowd(StayAsTheyAre(), seed) for seed in (5,)]
    share = [Crowd(ShareStations(), seed) for seed in (5,)]
    assert sum(each.windows for each in share) == sum(each.windows for each in stay)
    assert sum(each.met for each in stay) < 0.75 * sum(each.windows for each in stay)
    assert sum(each.met for each in share) > 0.9 * sum(each.windows for each in share)


def test_released_queries_return_with_the_agreed_configuration():
    crowd = Crowd(ShareStations(), 4)
    last = crowd.decisions.sort("decided_s").group_by("query", maintain_order=True).last()
    assert "released" in set(crowd.decisions["outcome"])
    assert set(last["outcome"]) == {"deployed"}
    on_gpu = last.filter(pl.col("plan").str.contains("edge:full"))
    assert on_gpu["plan"].str.split(" @ ").list.get(0).n_unique() == 1
    steps = crowd.decisions.sort("query", "decided_s").with_columns(
        away_s=(
            pl.col("in_force_s").fill_null(strategy="backward").shift(-1) - pl.col("decided_s")
        ).over("query")
    )
    away_s = steps.filter(outcome="released")["away_s"]
    assert not away_s.is_null().any()
    assert away_s.min() > 0
    assert away_s.max() < 4, "a tick to drain, and a model to load"


class Once(Regrouping):
    """Wants what has no room, for one query that waits, once."""

    def __init__(self):
        self.began_s = None

    def due(self, context):
        return self.began_s is None

    def repack(self, context, market, search, wanting):
        if not wanting:
            return None
        self.began_s = context.now_s
        offer = search_state(context, wanting[0]).offers[0]
        return PendingRepack(context.now_s, {wanting[0].id: offer}, frozenset({wanting[0].id}))


class Notes(Scheduler):
    """Notes at which ticks waiting queries are served, whether there are bids or not."""

    def __init__(self):
        self.regrouping, self.ticks_s = Once(), []

    def prices(self, pools, standing):
        return FirstComeFirstServed().prices(pools, standing)

    def award(self, context, market, bids):
        if context.trigger == "tick":
            self.ticks_s.append(context.now_s)
        return FirstComeFirstServed().award(context, market, bids)


def test_freed_resources_are_left_to_queries_that_move():
    """Until a regrouping is carried out, or given up, others are served at looks only."""
    scheduler = Notes()
    planner = Compass(scheduler=scheduler, runtime=NoRuntime(), improve_s=0.0)
    workload = replace(queries_at(*(1.0 + at for at in range(10)), datasets=BOTH), tiers=TIERS)
    a_scenario = scenario(60.0, workload=workload, nodes=ONE_GPU)
    world = run(a_scenario, planner, 10)
    assert world.planner_errors == []
    began_s, timeout_s = scheduler.regrouping.began_s, a_scenario.cluster.drain_timeout_s
    assert began_s is not None
    assert began_s + timeout_s < 55.0, "and then some"
    ticks_s = set(scheduler.ticks_s)
    meanwhile = {each for each in ticks_s if began_s < each <= began_s + timeout_s}
    assert all(each % planner.watch_every_s == 0 for each in meanwhile)
    assert len(meanwhile) >= timeout_s // planner.watch_every_s - 1
    assert {began_s + timeout_s + 1, began_s + timeout_s + 2} <= ticks_s


class Again(Once):
    """Wants that whenever it is asked, and notes when."""

    def __init__(self):
        super().__init__()
        self.times_s = []

    def due(self, context):
        return True

    def repack(self, context, market, search, wanting):
        found = super().repack(context, market, search, wanting)
        if found is not None:
            self.times_s.append(context.now_s)
        return found


def test_no_other_begins_while_somebody_waits_for_room():
    scheduler = Notes()
    scheduler.regrouping = regrouping = Again()
    workload = replace(queries_at(*(1.0 + at for at in range(10)), datasets=BOTH), tiers=TIERS)
    a_scenario = scenario(120.0, workload=workload, nodes=ONE_GPU)
    world = run(a_scenario, Compass(scheduler=scheduler, runtime=NoRuntime(), improve_s=0.0), 10)
    assert world.planner_errors == []
    assert len(regrouping.times_s) > 1
    for began_s, next_s in pairwise(regrouping.times_s):
        assert next_s > began_s + a_scenario.cluster.drain_timeout_s


class SentAway(Once):
    """Wants what has no room for a query that waits, and one that runs to go for it."""

    def __init__(self):
        super().__init__()
        self.away = None

    def repack(self, context, market, search, wanting):
        found = super().repack(context, market, search, wanting)
        if found is None or not context.running:
            return None
        self.away = context.running[0].id
        return replace(found, offers={**found.offers, self.away: None})


class Restless(Notes):
    """Moves whatever runs to the first other machines that have room."""

    def __init__(self):
        self.regrouping, self.ticks_s = SentAway(), []

    def overpaying(self, context, market):
        self.context = context
        return list(context.running)

    def better(self, market, query, offers, now):
        view = self.context.bulk.view(query, CmboSearch().model.choices)
        numbers = np.flatnonzero(view.configuration == offers[0].configuration).tolist()
        others = [each for each in numbers if view.plan(each) != self.context.plan_of(query)]
        wanted = [view.plan(each) for each in others]
        [first] = self.context.bulk.first_that_fits([(query, wanted)])
        return [replace(offers[0], number=others[first])]


def test_a_query_that_must_go_is_released_and_not_moved():
    scheduler = Restless()
    planner = Compass(scheduler=scheduler, runtime=NoRuntime(), improve_s=0.0)
    workload = replace(queries_at(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, datasets=BOTH), tiers=TIERS)
    tables = tables_of(scenario(20.0, workload=workload, nodes=ONE_GPU), planner, 5)
    away, began_s = scheduler.regrouping.away, scheduler.regrouping.began_s
    decisions = tables["decisions"].filter(pl.col("triggered_s") == began_s)
    others = decisions.filter(pl.col("query") != away)
    assert decisions.filter(query=away)["outcome"].to_list() == ["released"]
    assert "deployed" in set(others["outcome"]), "the others are moved"


def test_a_regrouping_ends_when_only_released_queries_are_left():
    left = []

    def act(context):
        for query in context.waiting:
            context.deploy(query, next(context.candidates(query)))
        if len(context.running) == 2:
            [one, two] = context.running
            view = context.bulk.view(two, Choices())
            number = next(
                each for each in range(len(view)) if view.plan(each) != context.plan_of(two)
            )
            offer = Offer(number, 0, 1.0, 0.9, 1.0, None, None, True)
            publish_search_state(context, two.id, SearchState({0: None}))
            for offers in ({one.id: None, two.id: offer}, {one.id: None}):
                found = PendingRepack(context.now_s, offers, frozenset())
                context.remember(REPACK, found)
                to_order(context, found, Choices())
                left.append(under_way(context))

    with_context(act, queries_at(1.0, 1.1, 1.9))
    assert set(left[0].offers) == {0, 1}
    assert left[1] is None


def test_a_configuration_that_failed_is_not_promised_again():
    """Histories go on promising what profiling has shown to miss the floor."""
    search = CmboSearch()
    agreed, promised = [], []

    def act(context):
        [query] = context.waiting
        made = market(context)
        search.run(context, query, made, 5.0, improve=False)
        for _ in range(2):
            table = StationTable(context, made, search, [query], Fleet.of({}), np.full(1, 0.1))
            agreed.append(table.agreeable(4))
            found = search_state(context, query)
            promised.append(search.beliefs(context, query, made, found).promise()[agreed[0]])
            seen = replace(
                next(iter(found.profiled.values())), accuracy=0.5, variance=1e-6, verdict=False
            )
            shown = {**found.profiled, agreed[0][0]: seen}
            keep_search_state(context, query, replace(found, profiled=shown))

    with_context(act, queries_at(1.0, accuracy=0.9), nodes=ONE_CLOUD)
    before, after = agreed
    assert len(set(before)) == 4, "one would be enough for one query, if it keeps what it promises"
    assert (promised[0] > 0).all()
    assert promised[1][0] == 0
    assert (promised[1][1:] == promised[0][1:]).all()
    assert before[0] not in after


def test_stations_of_whole_gpu_instances_take_a_place_on_a_card():
    """Those of cores take none. By default, no plan takes a part of an instance."""
    search, problems, names = CmboSearch(), [], []

    def act(context):
        [query] = context.waiting
        made = market(context)
        search.run(context, query, made, 5.0, improve=False)
        table = StationTable(context, made, search, [query], Fleet.of({}), np.full(1, 0.1))
        table.look_at(list(range(20)), 0.0)
        problems.append(table.rows.problem)
        names.extend(made.pools.names)

    with_context(act, queries_at(1.0), nodes=ONE_CLOUD)
    [problem] = problems
    kinds = [names[pool] for pool in problem.pool]
    assert set(kinds) == {("cloud", CORES), ("cloud", GPUS)}
    assert problem.instances.tolist() == [int(pool == GPUS) for _, pool in kinds]
    [cards] = problem.cards
    assert (cards.count, problem.profile[:, 0].max()) == (1, 0)


@pytest.mark.parametrize("wanted", [True, False])
def test_regrouping_is_tried_for_waiting_queries_and_not_too_often(wanted):
    """Alone on a cluster a query finds room by itself."""
    regrouping, search = ShareStations(), CmboSearch()
    found, due, charged_s = [], [], []

    def act(context):
        [query] = context.waiting
        made = market(context)
        search.run(context, query, made, 5.0, improve=False)
        due.append(regrouping.due(context))
        before_s = context.remaining(query)
        found.append(regrouping.repack(context, made, search, [query] if wanted else []))
        charged_s.append(before_s - context.remaining(query))
        due.append(regrouping.due(context))

    with_context(act, queries_at(1.0), nodes=ONE_CLOUD)
    [regrouped] = found
    assert due == [True, not wanted], "the next would be too soon after one that was made"
    if wanted:
        assert charged_s[0] > 0
        [(query, offer)] = regrouped.offers.items()
        assert offer.feasible
        assert regrouped.wanting == {query}
    else:
        assert regrouped is None
        assert charged_s[0] == 0


def test_a_regrouping_that_gains_too_little_is_not_made():
    """One waiting query is worth at most one."""
    search, found = CmboSearch(), []

    def act(context):
        [query] = context.waiting
        made = market(context)
        search.run(context, query, made, 5.0, improve=False)
        found.extend(
            ShareStations(gain=gain).repack(context, made, search, [query]) for gain in (0.9, 1.1)
        )

    with_context(act, queries_at(1.0), nodes=ONE_CLOUD)
    assert [each is not None for each in found] == [True, False]


def test_attempts_in_vain_become_rare_until_one_succeeds_or_a_machine_returns(monkeypatch):
    monkeypatch.setattr(repacking, "part_of_stay_s", lambda _, share: 100.0 * share)
    search, waits_s, due = CmboSearch(), [], []

    def act(context):
        [query] = context.waiting
        made = market(context)
        search.run(context, query, made, 5.0, improve=False)
        for gain in (1.1, 1.1, 1.1, 0.9):  # one waiting query is worth at most one
            regrouping = ShareStations(gain=gain, every_s=3.0, longest=0.1)
            regrouping.repack(context, made, search, [query])
            waits_s.append(context.recall(REPACKED).wait_s)
        for wait_s, ago_s, up in (
            (10.0, 9.0, 1),
            (10.0, 11.0, 1),
            (99.0, 11.0, 1),
            (3.0, 2.0, 1),
            (3.0, 4.0, 1),
            (10.0, 4.0, 0),  # the machine has returned since
            (10.0, 2.0, 0),
            (10.0, 4.0, 2),
        ):
            context.remember(REPACKED, Attempt(context.now_s - ago_s, wait_s, up))
            due.append(regrouping.due(context))

    with_context(act, queries_at(1.0), nodes=ONE_CLOUD)
    assert waits_s == [6.0, 10.0, 10.0, 3.0]
    assert due == [False, True, True, False, True, True, False, False]


def test_stay_as_they_are_is_never_due():
    due = []
    with_context(lambda context: due.append(StayAsTheyAre().due(context)), queries_at(1.0))
    assert due == [False]


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        ("every_s", -1.0, 0),
        ("switch", -0.1, 0),
        ("gain", -0.1, 0),
        ("most_queries", 0, 1),
        ("most_configurations", 0, 1),
    ],
)
def test_parameters_out_of_range_are_refused(name, value, least):
    with pytest.raises(ValueError, match=rf"{name}={value}: must be .*{least} or more"):
        ShareStations(**{name: value})
