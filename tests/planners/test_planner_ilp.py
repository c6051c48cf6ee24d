"""The optimum of the planning model: against enumeration, and as a planner in the world."""

from dataclasses import replace
from itertools import combinations_with_replacement, product
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import coding_without_gpus, queries_at, run, scenario, smooth_network, tables_of

from planners.reference.ilp import ILP, needed_configurations
from planners.reference.optimum import (
    Capacity,
    FeasiblePlan,
    Limits,
    Sort,
    lp_bound,
    offers_of,
    program,
    solve,
)
from scenarios.applications.pipeline import Knob, Operator, Pipeline
from scenarios.cluster import Node
from scenarios.drift import Drift, DriftEvent
from scenarios.slo import Tier
from sim import Planner, StationKind
from sim.api.gpu_layouts import gpu_layouts

LIMITS = Limits(gap=1e-7)
CAPACITY = Capacity(
    cores={"edge": 2, "cloud": 3},
    cards={"edge": 0, "cloud": 1},
    layouts={"edge": (), "cloud": ({"small": 3, "big": 0}, {"small": 1, "big": 1})},
    core_usd_per_hour={"edge": 0.3, "cloud": 0.1},
    instance_usd_per_hour={("cloud", "small"): 1.0, ("cloud", "big"): 2.0},
    max_utilisation=0.8,
    backhaul=0.8,
)


def kind(operator, node, profile, replicas=1, percent=100):
    return StationKind(operator, node, profile, percent, replicas, replicas, 1)


SORTS = (
    Sort(kind(0, "edge", "core"), 0),
    Sort(kind(0, "cloud", "core"), 0),
    Sort(kind(0, "cloud", "core", replicas=2), 1),
    Sort(kind(1, "cloud", "small"), 0),
    Sort(kind(1, "cloud", "small"), 1),
    Sort(kind(1, "cloud", "big"), 0),
    Sort(kind(1, "cloud", "big", percent=50), 1),
)


def packs(opened, capacity):
    """Tell, by trying all ways to cut the cards, whether stations have room."""
    for node, cores in capacity.cores.items():
        here = {sort: many for sort, many in opened.items() if sort.kind.node == node}
        if cores < sum(
            many * sort.kind.replicas for sort, many in here.items() if sort.kind.profile == "core"
        ):
            return False
        cuts = combinations_with_replacement(capacity.layouts[node], capacity.cards[node])
        need = {
            profile: sum(
                many * sort.kind.replicas * sort.kind.thread_percent / 100
                for sort, many in here.items()
                if sort.kind.profile == profile
            )
            for profile in ("small", "big")
        }
        if not any(
            all(sum(layout[profile] for layout in cut) >= need[profile] for profile in need)
            for cut in cuts
        ):
            return False
    return True


def opened_by(offers, capacity):
    """Return the stations that some plans need, each filled with equal loads."""
    works = {}
    for offer in offers:
        for sort, work in offer.stations.items():
            works.setdefault(sort, []).append(work)
    return {
        sort: ceil(len(each) / int(capacity.max_utilisation * sort.kind.servers / each[0] + 1e-9))
        for sort, each in works.items()
    }


def enumerated(offers, capacity):
    """Return the most that can be served, and the least cost of it, by trying everything."""
    best = 0, 0.0
    for choice in product(*([None, *its] for its in offers)):
        taken = [offer for offer in choice if offer is not None]
        opened = opened_by(taken, capacity)
        sent = sum(offer.backhaul for offer in taken)
        if packs(opened, capacity) and sent <= capacity.backhaul:
            usd = sum(offer.usd_per_hour for offer in taken) + sum(
                many * capacity.usd_per_hour(sort.kind) for sort, many in opened.items()
            )
            if (len(taken), -usd) > (best[0], -best[1]):
                best = len(taken), usd
    return best


@st.composite
def instances(draw):
    """Draw a few queries with a few plans each; all bring the same load to a sort of station."""
    works = [draw(st.sampled_from((0.05, 0.25, 0.3, 0.45, 0.7))) for _ in SORTS]
    offers = []
    for _ in range(draw(st.integers(1, 4))):
        its = []
        for index in range(draw(st.integers(0, 3))):
            used = draw(st.lists(st.integers(0, len(SORTS) - 1), max_size=2, unique=True))
            extra = draw(st.sampled_from((0.0, 0.05)))
            sent = draw(st.sampled_from((0.0, 0.0, 0.3, 0.5)))
            its.append(FeasiblePlan(index, {SORTS[at]: works[at] for at in used}, extra, sent))
        offers.append(its)
    return offers


@settings(max_examples=15, deadline=None)
@given(offers=instances())
def test_property_the_optimum_is_that_of_trying_everything(offers):
    of = program(offers, [False] * len(offers), CAPACITY)
    optimum = solve(of, LIMITS)
    served, usd = enumerated(offers, CAPACITY)
    assert optimum.served == served == optimum.served_bound
    assert optimum.usd_per_hour == pytest.approx(usd, abs=1e-6)
    assert optimum.usd_per_hour_bound == pytest.approx(usd, abs=1e-3)
    assert optimum.proven
    chosen = [its[one] for its, one in zip(offers, optimum.chosen, strict=True) if one is not None]
    assert len(chosen) == served
    assert packs(opened_by(chosen, CAPACITY), CAPACITY)
    assert sum(offer.backhaul for offer in chosen) <= CAPACITY.backhaul


@settings(max_examples=20, deadline=None)
@given(offers=instances())
def test_property_the_relaxation_bounds_the_optimum(offers):
    of = program(offers, [False] * len(offers), CAPACITY)
    optimum = solve(of, LIMITS)
    most, _ = lp_bound(of)
    assert most >= optimum.served
    assert lp_bound(of, optimum.served)[1] <= optimum.usd_per_hour + 1e-6
    with pytest.raises(ValueError, match=f"at most {most}"):
        lp_bound(of, most + 1)


def test_a_query_that_is_served_already_stays_where_not_all_can_be():
    only = Sort(kind(1, "cloud", "big"), 0)
    offers = [[FeasiblePlan(0, {only: 0.5})] for _ in range(3)]
    for favoured in range(3):
        of = program(offers, [query == favoured for query in range(3)], CAPACITY)
        optimum = solve(of, LIMITS)
        assert optimum.served == 1
        assert optimum.chosen[favoured] == 0


@pytest.mark.parametrize(("share", "kept"), [(0.9, True), (1.1, False)])
def test_a_query_that_is_served_already_gives_way_to_one_that_costs_much_less(share, kept):
    """With two queries, if that saves more than 0.2 / 3 of the price of all."""
    only, part = Sort(kind(1, "cloud", "big"), 0), 0.2 / 3
    dearer_usd = share * CAPACITY.all_usd_per_hour * part / (1 - part)  # It counts in the price.
    offers = [[FeasiblePlan(0, {only: 0.5}, dearer_usd)], [FeasiblePlan(0, {only: 0.5})]]
    optimum = solve(program(offers, [True, False], CAPACITY), LIMITS)
    assert optimum.chosen == ((0, None) if kept else (None, 0))


def test_nobody_to_serve_and_nothing_to_serve_with():
    assert solve(program([], [], CAPACITY), LIMITS).served == 0
    assert lp_bound(program([], [], CAPACITY)) == (0, 0.0)
    offers = [[], [FeasiblePlan(0, {SORTS[3]: 0.1})]]
    none = replace(CAPACITY, cards={"edge": 0, "cloud": 0}, cores={"edge": 0, "cloud": 0})
    optimum = solve(program(offers, [False, False], none), LIMITS)
    assert optimum.chosen == (None, None)


class Looks(Planner):
    """Lets a test look at the planning context; deploys nothing."""

    sees_truth = True

    def __init__(self, look):
        self.look = look

    def plan(self, context):
        for query in context.waiting:
            self.look(context, query)


def test_pruning_plans_changes_no_optimum():
    """Of one query after the other, with all its plans and with those that are left."""
    compared = []

    def look(context, query):
        if len(compared) > 3:
            return
        truth = context.bulk.truth(query)
        view, capacity = truth.view, Capacity.of(context)
        rng = np.random.default_rng(query.id)
        plans = np.sort(rng.choice(len(view), 60, replace=False))
        times_s = truth.operator_time_s[view.configuration[plans]]
        load = query.requests_per_s * times_s * view.capacity_factors[plans]
        plans = plans[(load / view.servers[plans] < 0.8).all(axis=1)]
        load = query.requests_per_s * truth.operator_time_s[view.configuration[plans]]
        load *= view.capacity_factors[plans]
        extra = view.cost_usd_per_hour[plans] - view.list_price_usd_per_hour[plans]
        # so large that not all of three queries can use the backhaul as they like
        sent = view.backhaul_up_s[plans] / view.backhaul_up_s[plans].max() * rng.uniform(0.2, 0.8)
        pruned = offers_of(view, plans, load, extra, None, sent)
        every = [
            FeasiblePlan(
                int(number),
                {
                    Sort(view.stations[station], int(view.operator_key[number, operator])): work
                    for operator, (station, work) in enumerate(
                        zip(view.station[number].tolist(), load[row].tolist(), strict=True)
                    )
                    if station >= 0
                },
                float(extra[row]),
                float(sent[row]),
            )
            for row, number in enumerate(plans)
        ]
        assert {each.index for each in pruned} <= {each.index for each in every}
        assert all(each in every for each in pruned)
        steps = (1, 2, 3)  # for queries that have the same plans in part
        full = [every[::step] for step in steps]
        left = [
            offers_of(view, plans[::step], load[::step], extra[::step], None, sent[::step])
            for step in steps
        ]
        costs = [
            (found.served, found.usd_per_hour)
            for its in (full, left)
            for found in [solve(program(its, [False] * 3, capacity), LIMITS)]
        ]
        compared.append((costs, sum(map(len, left)), sum(map(len, full))))

    run(scenario(horizon_s=60.0, rate=0.2), Looks(look))
    assert compared
    for (full, pruned), left, all_of_them in compared:
        assert pruned == pytest.approx(full, abs=1e-6)
        assert left < all_of_them


PIPELINE = Pipeline(
    "two",
    (
        Operator("first", "cpu", (Knob("a", (1, 2)),)),
        Operator("second", "gpu", (Knob("b", (1, 2)), Knob("c", (1, 2)))),
    ),
)
LAYOUTS = (
    (None, None),
    (None, SORTS[3].kind),
    (SORTS[1].kind, SORTS[3].kind),
    (None, SORTS[5].kind),
)
"""Kinds of station of both operators; None on the device."""


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_property_configurations_struck_out_are_needed_by_no_optimum(data):
    count = len(PIPELINE.configurations)
    queries = data.draw(st.integers(1, 3))
    chance = data.draw(st.sampled_from((0.3, 0.6, 0.9)))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    feasible = rng.random((queries, len(LAYOUTS), count)) < chance
    feasible[:, 0] &= rng.random((queries, count)) < 0.1
    kinds = sorted({kind for layout in LAYOUTS for kind in layout if kind is not None}, key=str)
    works = {
        (kind, PIPELINE.operator_key(kind.operator, configuration)): rng.choice([0.1, 0.3, 0.5])
        for kind in kinds
        for configuration in PIPELINE.configurations
    }
    load = np.array(
        [
            [
                works[kind, PIPELINE.operator_key(kind.operator, each)]
                for each in PIPELINE.configurations
            ]
            for kind in kinds
        ]
    )
    needed = needed_configurations(PIPELINE, feasible, load, [])

    def optimum(among):
        keys = {key: number for number, key in enumerate(dict.fromkeys(key for _, key in works))}
        offers = [
            [
                FeasiblePlan(
                    index,
                    {
                        Sort(kind, keys[key]): float(works[kind, key])
                        for kind in layout
                        if kind is not None
                        for key in [PIPELINE.operator_key(kind.operator, configuration)]
                    },
                )
                for number, layout in enumerate(LAYOUTS)
                for index, configuration in enumerate(PIPELINE.configurations)
                if among[index] and feasible[query, number, index]
            ]
            for query in range(queries)
        ]
        return solve(program(offers, [False] * queries, CAPACITY), LIMITS)

    full, left = optimum(np.ones(count, dtype=bool)), optimum(needed)
    assert left.served == full.served
    assert left.usd_per_hour == pytest.approx(full.usd_per_hour, abs=1e-6)


def test_configurations_that_do_no_better_are_struck_out():
    """The last knob's second value does for all that its first does, with less load."""
    feasible = np.ones((1, len(LAYOUTS), 8), dtype=bool)
    load = np.ones((1, 8))
    load[0, ::2] = 2.0
    assert needed_configurations(PIPELINE, feasible, load, []).sum() == 1
    feasible[0, 1, 1::2] = False
    assert needed_configurations(PIPELINE, feasible, load, []).sum() == 2, "as each does more here"
    assert needed_configurations(PIPELINE, feasible, load, [0, 7])[[0, 7]].all()


def test_the_plan_in_force_is_kept_among_the_offers():
    seen = []

    def look(context, query):
        view = context.bulk.view(query)
        plans = np.arange(len(view))
        load = np.full(view.station.shape, 0.01)
        free = np.zeros(len(view))
        left = {each.index for each in offers_of(view, plans, load, free)}
        gone = next(number for number in range(len(view)) if number not in left)
        again = {each.index for each in offers_of(view, plans, load, free, gone)}
        assert again == left | {gone}
        seen.append(query)

    run(scenario(horizon_s=30.0), Looks(look))
    assert seen


def test_layouts_of_a_card_are_the_legal_ones_that_no_other_exceeds():
    layouts = gpu_layouts(Node("cloud", "a2-highgpu-1g"))
    assert any(each["1g.5gb"] == 7 for each in layouts)
    assert all(sum(each.values()) <= 7 for each in layouts)
    assert any(each["7g.40gb"] == 1 for each in layouts)
    assert gpu_layouts(Node("edge", "g2-standard-8")) == ({"full": 1},)
    assert gpu_layouts(Node("cloud", "n1-standard-4")) == ()
    for one in layouts:
        assert not any(
            other != one and all(other[name] >= one[name] for name in one) for other in layouts
        )


@pytest.fixture(scope="module")
def tables():
    """Return the tables of a run with devices that become slower after 50 s."""
    event = DriftEvent("device_slowdown", at_s=50.0, factor=0.1)
    return tables_of(scenario(horizon_s=60.0, drift=Drift([event])), ILP())


def test_ilp_plans_in_no_time_and_says_what_it_found(tables):
    assert tables["decisions"].height
    assert tables["decisions"]["charged_s"].max() == 0
    assert "optimum of the planning model" in tables["offers"]["reason"][0]


@pytest.mark.slow
def test_ilp_comes_back_from_a_failure():
    """A failure of all machines, which affects every query not served on its device alone."""
    events = [
        DriftEvent("machine_failure", at_s=40.0, node=node, machine=machine, duration_s=15.0)
        for node, machine in (("edge", 0), ("cloud", 0), ("cloud", 1))
    ]
    decisions = tables_of(scenario(horizon_s=70.0, drift=Drift(events)), ILP())["decisions"]
    back = decisions.filter(decisions["trigger"] == "recovery")
    assert "deployed" in back["outcome"].to_list()


def test_ilp_replans_when_the_truth_changes(tables):
    """Devices that become slower make some plans infeasible; no arrival says so."""
    decisions = tables["decisions"]
    after = decisions.filter(decisions["decided_s"] >= 50.0)
    assert "tick" in after["trigger"].to_list()


@pytest.mark.parametrize("shares", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_ilp_overloads_the_backhaul_only_if_it_is_told_to_ignore_it(shares):
    """Of eight queries whose GPUs are all in the cloud, the backhaul carries only some."""
    patient = {"any": Tier(latency_s=30.0)}
    world = run(
        replace(
            scenario(
                horizon_s=40.0,
                nodes={"edge": Node("edge", "n1-standard-8"), "cloud": Node("cloud", count=4)},
                workload=replace(queries_at(*np.arange(8.0)), tiers=patient),
            ),
            network=smooth_network(backhaul_bps=2e6),
        ),
        ILP(shares_backhaul=shares),
    )
    busy = world.machines.backhaul.load.work
    most = world.scenario.cluster.max_utilisation
    assert (0.1 < busy <= most) if shares else busy > most


def test_ilp_says_that_its_limits_left_it_without_a_solution():
    world = run(scenario(horizon_s=30.0), ILP(time_limit_s=1e-9))
    assert world.tables.take()["queries"]["deployments"].to_list() == [0, 0, 0, 0]
    assert len(world.planner_errors) >= 4
    assert all("node_limit=200 and time_limit_s=1e-09" in error for error in world.planner_errors)


def test_ilp_leaves_a_query_alone_that_no_plan_could_serve():
    assert set(tables_of(coding_without_gpus(), ILP())["queries"]["deployments"]) == {0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"utilisation": 1.0},
        {"headroom": 0.0},
        {"gap": -1.0},
        {"node_limit": 0},
        {"time_limit_s": 0.0},
        {"switch_usd_per_hour": -1.0},
        {"replicas": [0]},
        {"cores": []},
        {"max_wait_s": -1.0},
    ],
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ILP(**wrong)


def test_a_query_that_needs_no_station_is_served_for_nothing():
    optimum = solve(program([[FeasiblePlan(0, {})]], [False], CAPACITY), LIMITS)
    assert optimum.served == 1
    assert optimum.usd_per_hour == optimum.usd_per_hour_bound == 0
