"""Every planner that comes with a file of its own keeps the contract, as it is composed by lab."""

import inspect
from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import pytest
from worlds import run, scenario

from lab.common.options import groups, planner_names
from lab.config.compose import compose, set_up
from planners import Greedy
from planners.compass.scheduling.repacking import ShareStations
from scenarios.workload import Workload
from sim import check_planner
from sim.cluster import queries as query_board
from sim.planning.context import ServedContext

FILES = planner_names()
BASES = [name for name in FILES if not any(name.startswith(f"{other}_") for other in FILES)]
BUDGETS = [name for name in FILES if name.endswith("s") and name.rpartition("_")[2][:-1].isdigit()]


@cache
def composed(name):
    """Return the configuration of a file, and what follows from it; composed once."""
    overrides = [f"planner={name}"]
    configuration = compose(overrides)
    return configuration, set_up(configuration, overrides)


def made(name):
    [planner] = composed(name)[1].planners.values()
    return deepcopy(planner)


def described(planner):
    """Return a planner's parameters as text; files have lists where classes may have tuples."""
    return repr(planner).replace("[", "(").replace("]", ")").replace(",)", ")")


@pytest.mark.usefixtures("short_worlds")
@pytest.mark.parametrize("name", [name for name in BASES if name != "ilp"])
def test_it_keeps_the_contract(name):
    check_planner(made(name), other_process=False)


@pytest.mark.parametrize("name", FILES)
def test_it_keeps_its_parameters_and_nothing_else(name):
    planner = made(name)
    assert set(planner.parameters()) == set(inspect.signature(type(planner)).parameters)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_it_keeps_the_contract_in_any_process_and_in_long_worlds(name):
    check_planner(made(name))


LONG = ("cherrypick", "ilp", "vulcan")
"""Planners that take long where many queries come and go."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LONG else []) for name in BASES],
)
def test_it_remembers_nothing_of_single_queries_that_left_long_ago(name, monkeypatch):
    keys, remember = set(), ServedContext.remember

    def noting(context, key, value, query=None):
        keys.add(key)
        remember(context, key, value, query)

    monkeypatch.setattr(ServedContext, "remember", noting)
    monkeypatch.setattr(query_board, "LISTED", 2)
    world = run(
        scenario(60.0, workload=Workload(rate=0.3, lifetime_mean_s=15.0, lifetime_min_s=5.0)),
        made(name),
    )
    assert world.planner_errors == []
    board, now = world.planning_service.registry, world.env.now
    still = {*board.living, *(query.id for query in board.departed)}
    assert len(board.departed) == 2
    of_queries = [key for key in keys if isinstance(key, tuple) and [*map(type, key)] == [str, int]]
    left = [key for key in of_queries if key[-1] not in still]
    assert [
        key for key in left if world.planning_service.memory.read(key, now, None) is not None
    ] == []


@pytest.mark.parametrize("name", BASES)
def test_its_file_lists_every_parameter_at_its_default(name):
    planner = made(name)
    listed = set(composed(name)[0].planner) - {"_target_", "compare"}
    assert listed == set(inspect.signature(type(planner)).parameters)
    if name == "compass":
        # Its classes have the paper's rule of decision. The file with this rule has older waits.
        waits = ["planner.known_for=0.1", "planner.scheduler.regrouping.longest=0.1"]
        overrides = ["planner=compass_t_test", *waits]
        [planner] = set_up(compose(overrides), overrides).planners.values()
    assert described(planner) == described(type(planner)())


@pytest.mark.parametrize(
    "name", [name for name in FILES if name.startswith("compass_") and name != "compass_t_test"]
)
def test_variants_of_compass_wait_as_it_does(name):
    ours, usual = made(name), made("compass")
    for wait in ("pause_s", "known_for_s", "known_for", "watch_every_s", "replan_every_s"):
        assert getattr(ours, wait) == getattr(usual, wait)
    regrouping = ours.scheduler.regrouping
    if isinstance(regrouping, ShareStations):
        assert regrouping == usual.scheduler.regrouping


def test_comparisons_are_lists_and_nothing_else_is():
    for name in groups()["planner"]:
        assert composed(name)[1].alone == (name in FILES)


def test_those_that_differ_in_budget_alone_are_told_from_the_others():
    assert "compass_15s" in BUDGETS
    assert set(BUDGETS).isdisjoint(BASES)
    for name in BUDGETS:
        base = made(name.rpartition("_")[0])
        assert repr(made(name)).replace(str(made(name).budget_s), str(base.budget_s)) == repr(base)


def test_a_class_derived_from_a_planner_may_name_what_only_type_checkers_import():
    @dataclass(eq=False, repr=False)
    class Mine(Greedy):
        best: "SomePlan | None" = None  # noqa: F821

    assert Mine(samples=7).samples == 7
    with pytest.raises(ValueError, match="samples=0: must be a whole number of 1 or more"):
        Mine(samples=0)
