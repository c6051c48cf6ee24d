"""Vulcan: its utility, its search by placement, early deployment, and the watch."""

from itertools import pairwise
from math import inf

import numpy as np
import polars as pl
import pytest
from worlds import At, Does, asked, queries_at, run, scenario, tables_of

from planners.baselines.vulcan import Vulcan
from planners.baselines.vulcan_search import PlacementSearch, Rules, Utility
from planners.common.orders import Orders
from planners.common.trials import Trials
from scenarios.cluster import DEVICE, Node, Profiling
from scenarios.drift import Drift, DriftEvent
from scenarios.slo import SLO, Tier
from scenarios.workload import Workload

CLOUD = {"cloud": Node("cloud", "a2-highgpu-1g", count=2)}
RULES = Rules(initial=5, kappa=2.0, prune_after=10, patience=3, headroom=1.0)


# The utility


def worth(slo, accuracy, latency_s, gpu_s, gamma=0.5):
    values = (np.array([each]) for each in (accuracy, latency_s, gpu_s))
    return float(Utility(gamma, 1.0, 1.0, 1e-3)(slo, *values)[0])


BOTH = SLO(latency_s=2.0, accuracy=0.8)


@pytest.mark.parametrize(
    ("slo", "accuracy", "latency_s", "gpu_s", "expected"),
    [
        (BOTH, 0.8, 2.0, 0.05, 0.0),
        (BOTH, 0.9, 1.2, 0.05, (0.5 * 0.1 + 0.5 * 0.8) / 0.05),
        (BOTH, 0.7, 1.2, 0.1, (-0.5 * 0.1 + 0.5 * 0.8) / 0.1),
        (BOTH, 0.9, 1.2, 0.0, 450.0),  # By the floor of 1 ms.
        (BOTH, 0.8, inf, 1.0, 0.5 * (2.0 - 20.0)),  # Latency counts as ten bounds.
        (SLO(latency_s=2.0), 0.1, 1.0, 0.5, 1.0),
        (SLO(latency_s=None, accuracy=0.8), 0.9, inf, 0.5, 0.1),
    ],
)
def test_utility_is_performance_over_gpu_time(slo, accuracy, latency_s, gpu_s, expected):
    assert worth(slo, accuracy, latency_s, gpu_s) == pytest.approx(expected)


@pytest.mark.parametrize(("gamma", "expected"), [(1.0, 1.0), (0.0, -5.0)])
def test_gamma_weighs_accuracy_against_latency(gamma, expected):
    assert worth(BOTH, 0.9, 2.5, 0.1, gamma) == pytest.approx(expected)


# The search


def searching(ask, utility, rules=RULES, budget_s=600.0, nodes=CLOUD):
    """Return what is answered about a search for a query in an empty cluster."""

    def in_search(context, query):
        trials = Trials(context, query, 16)
        rng = np.random.default_rng(0)
        search = PlacementSearch(context, query, trials, Orders(context), utility, rules, {}, rng)
        return ask(context, query, trials, search)

    [answer] = asked(in_search, scenario(10.0, nodes=nodes, workload=queries_at(1.0)), budget_s)
    return answer


def constant(value):
    return lambda slo, accuracy, latency_s, gpu_s: np.full(len(accuracy), value)


def falling():
    """Return a utility above 0 that is lower for each further value of accuracy."""
    seen = {}

    def utility(slo, accuracy, latency_s, gpu_s):
        ranks = [seen.setdefault(each, len(seen)) for each in accuracy.tolist()]
        return 1.0 - 0.001 * np.array(ranks)

    return utility


def explored(context, query, trials, search):
    assert search.explore() is None
    return list(trials.known), placements_of(search)


def placements_of(search):
    return len({search.view.plan(at).placement for at in range(len(search.view))})


@pytest.mark.parametrize("prune_after", [7, 10])
def test_a_placement_is_pruned_when_so_many_that_it_proposed_are_of_negative_utility(prune_after):
    """Neither its GPU profiles nor what other placements proposed count apart."""
    known, placements = searching(explored, constant(-1.0), Rules(5, 2.0, prune_after, 3, 1.0))
    assert placements == 5
    assert len(known) == 5 + prune_after * placements < 125


@pytest.mark.parametrize("patience", [0, 1])
def test_a_placement_is_left_when_more_than_patience_were_below_its_best(patience):
    rules = Rules(5, 2.0, 10, patience, 1.0)
    known, placements = searching(explored, falling(), rules)
    assert len(known) == 5 + (patience + 1) * placements < 125


def test_what_was_pruned_is_not_searched_again():
    def twice(context, query, trials, search):
        search.explore()
        before = len(trials.known)
        search.explore()
        return before, len(trials.known)

    assert searching(twice, constant(-1.0)) == (55, 55)


def test_a_configuration_counts_with_the_best_of_a_placements_gpu_profiles():
    """Only the profile that takes the least GPU time has a utility above 0."""

    def ask(context, query, trials, search):
        search.explore()
        return list(trials.known), (search.evaluated().utility < 0).mean()

    def frugal(slo, accuracy, latency_s, gpu_s):
        return np.where(gpu_s <= gpu_s.min(), 1.0, -1.0)

    known, negative = searching(ask, frugal, Rules(5, 2.0, 1, 1000, 1.0))
    assert negative > 0.8
    assert len(known) == 125


def test_layouts_come_in_order_of_what_stays_on_the_device():
    def on_device(context, query, trials, search):
        layouts = [search.view.layout.tolist().index(each) for each in range(layouts_of(search))]
        return [search.view.plan(each).placement.count(DEVICE) for each in layouts]

    counts = searching(on_device, constant(1.0), nodes=None)
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] == 0


def layouts_of(search):
    return int(search.view.layout.max()) + 1


def test_what_was_profiled_in_one_layout_is_known_in_all():
    def ask(context, query, trials, search):
        search.explore()
        left_s = context.remaining(query)
        scored = search.evaluated()
        layouts = set(search.view.layout[scored.plans].tolist())
        return len(layouts), layouts_of(search), left_s - context.remaining(query)

    seen, layouts, charged_s = searching(ask, constant(-1.0))
    assert seen == layouts > 5
    assert charged_s < 0.01


def test_a_search_stops_when_it_is_enough_and_goes_on_where_it_stopped():
    def in_parts(context, query, trials, search):
        progress = search.explore(enough=lambda index: len(trials.known) == 7)
        assert progress is not None
        assert len(trials.known) == 7
        assert progress.spent_s == pytest.approx(600.0 - context.remaining(query))
        assert search.explore(start=progress) is None
        return list(trials.known)

    rules = Rules(5, 2.0, 10, 0, 1.0)
    assert searching(in_parts, falling(), rules) == searching(explored, falling(), rules)[0]


def test_the_part_of_the_budget_that_was_spent_before_is_not_spent_again():
    def ask(context, query, trials, search):
        progress = search.explore(enough=lambda index: len(trials.known) == 1)
        left_s = context.remaining(query)
        search.explore(start=type(progress)(0, 0, left_s - 0.5))
        return left_s - context.remaining(query)

    assert 0.5 <= searching(ask, constant(1.0)) < 1.0


def test_only_what_has_room_is_proposed_after_the_first():
    def ask(context, query, trials, search):
        search.fits = lambda plan: False
        search.explore()
        return list(trials.known), context.remaining(query)

    known, left_s = searching(ask, constant(1.0))
    assert len(known) == 5
    assert left_s > 590.0  # No step of the model is paid for either.


# What it deploys


EASY = Workload(
    0.08, lifetime_mean_s=80.0, lifetime_min_s=40.0, tiers={"any": Tier(1.0, 4.0, 0.8, 1.0)}
)


@pytest.fixture(scope="module")
def served():
    return tables_of(scenario(60.0, nodes=CLOUD, workload=EASY), Vulcan(samples=32))


def test_what_is_deployed_meets_every_part_of_the_slo_as_believed(served):
    shown = served["profiling"].group_by("query", "configuration").last()
    floors = served["queries"].select("query", "slo_accuracy")
    orders = served["decisions"].join(shown, on=["query", "configuration"]).join(floors, on="query")
    assert orders.height == served["decisions"].height > 3
    assert (orders["accuracy_mean"] >= orders["slo_accuracy"]).all()
    assert (orders["list_price_usd_per_hour"] <= 1.0).all()


@pytest.fixture(scope="module")
def alone():
    """One query of a rich choice, with early deployment and without."""
    world = scenario(12.0, nodes=CLOUD, workload=queries_at(1.0))
    return [
        run(world, Vulcan(samples=32, deploy_early=early)).tables.take() for early in (True, False)
    ]


def test_the_first_plan_that_will_do_serves_while_the_search_goes_on(alone):
    early, late = (each["queries"]["first_deployed_s"][0] for each in alone)
    assert early + 2.0 < late
    assert alone[0]["decisions"]["trigger"].to_list() == ["arrival", "tick"]
    assert alone[1]["decisions"]["trigger"].to_list() == ["arrival"]


def test_in_the_end_it_comes_to_what_it_would_have_without_the_first(alone):
    assert alone[0]["decisions"]["plan"][-1] == alone[1]["decisions"]["plan"][-1]
    early, late = (each["profiling"]["configuration"].to_list() for each in alone)
    shorter = min(len(early), len(late)) - 1  # The budget may cut the last one.
    assert early[:shorter] == late[:shorter]


def test_a_plan_is_found_though_all_configurations_tried_first_are_of_negative_utility():
    """The rule of each placement ends the search only after 10 negative ones in each of five."""
    workload = queries_at(1.0, latency_s=1.0, accuracy=0.99, dataset="VOiCES")
    world = scenario(60.0, nodes=CLOUD, workload=workload)
    tables = run(world, Vulcan(samples=16, budget_s=600.0)).tables.take()
    first = tables["decisions"].row(0, named=True)
    tried = tables["profiling"].filter(pl.col("at_s") <= first["decided_s"])["configuration"]
    assert 11 < tried.n_unique() <= 5 + 10 * 5
    assert first["configuration"] == tried[-1]


def hopeless(**changes):
    """Return when a query was profiled for that no plan could ever serve."""
    tier = Tier(1.0, latency_s=0.001)
    workload = Workload(
        arrivals=At((1.0,)), lifetime_mean_s=900.0, lifetime_min_s=800.0, tiers={"no": tier}
    )
    planner = Vulcan(samples=16, pause_s=20.0, replan_every_s=5.0, **changes)
    tables = run(scenario(60.0, workload=workload), planner).tables.take()
    assert tables["decisions"].height == 0
    return tables["profiling"]["at_s"].unique().sort().to_list()


def test_a_query_for_which_nothing_would_do_is_searched_further_after_a_pause():
    times = hopeless(budget_s=0.5, prune_after=1000)
    begun = [at for before, at in pairwise([-inf, *times]) if at > before + 10.0]
    assert len(begun) == 3
    assert all(18.0 < later - sooner < 27.0 for sooner, later in pairwise(begun))


def test_a_query_all_of_whose_placements_are_pruned_is_searched_no_further():
    times = hopeless(prune_after=1)
    assert times
    assert max(times) < 15.0


# The watch


def watched(drift, **changes):
    """Run one query; return its later decisions, and the slowdowns that were noted."""
    planner, noted = Vulcan(samples=32, deploy_early=False, **changes), []

    def act(context):
        planner.plan(context)
        for query in context.running:
            noted.append(context.recall(("vulcan slowdowns", query.id)))

    wrapped = Does(act)
    wrapped.replan_every_s = planner.replan_every_s
    world = scenario(240.0, drift=drift, workload=queries_at(1.0))
    tables = run(world, wrapped).tables.take()
    assert tables["decisions"].height > 0
    later = tables["profiling"].filter(pl.col("at_s") > 20.0)
    return later, [each for each in noted if each]


def test_while_latency_is_as_believed_nothing_is_searched_again():
    later, noted = watched(None)
    assert later.height == 0
    assert not noted


def test_a_fall_of_utility_is_searched_for_on_new_data_with_a_bounded_slowdown():
    drift = Drift([DriftEvent("link_degradation", at_s=60.0, factor=0.02)])
    later, noted = watched(drift)
    assert later.height > 0
    assert later["at_s"].min() > 60.0
    assert noted
    assert all(1.0 <= factor <= 10.0 for each in noted for factor in each.values())


def test_a_query_whose_records_a_crash_took_is_watched_again():
    drift = Drift(
        [
            DriftEvent("planner_crash", at_s=20.0, duration_s=5.0),
            DriftEvent("link_degradation", at_s=120.0, factor=0.02),
        ]
    )
    world = scenario(
        240.0,
        drift=drift,
        workload=queries_at(1.0),
        profiling=Profiling(checkpoint_every_s=1000.0),
    )
    made = run(world, Vulcan(samples=32))
    assert made.planner_crashes == 1
    assert not made.planner_errors
    profiled_s = made.tables.take()["profiling"]["at_s"]
    assert (profiled_s < 20.0).any()
    assert (profiled_s > 120.0).any(), "its utility fell by the links"


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"initial": 0}])
def test_parameters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^\w+=0: must be a whole number of 1 or more$"):
        Vulcan(**wrong)
