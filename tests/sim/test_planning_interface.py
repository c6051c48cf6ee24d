"""The planning interface: its size, its former names, and the messages about them."""

import inspect
from contextlib import suppress
from pathlib import Path

import pytest
from worlds import Does, queries_at, run, scenario

import sim
from lab import run as run_lab
from sim import (
    BulkOperations,
    Planner,
    PlannerCheckError,
    PlannerError,
    PlanningContext,
    WorldState,
    check_planner,
)
from sim.planning.renamed import RENAMED, Guided

FORMER = """
trigger scratch now_s pipeline datasets cluster waiting searching running waiting_by_id
running_by_id departed last_departed plans coming plan_of in_force_since_s telemetry last_counts
candidates view list_price_usd_per_hour latency_factors capacity_factors refusal free_cores
machines_up freed_s free_instances remaining think profile audit renew features dataset_features
profile_offline predict predict_many truth fits fits_all first_that_fits offer deploy release
remember recall recall_each settled close
active_since_s background_lanes charge last_release_s loading log_candidate measure_live_accuracy
resample machines_on_standby machines_used profiling_wait_s
"""
"""Members that the planning context has had, under any name, and later ones of its parts."""


def members(interface):
    """Return the public members of an interface."""
    names = {*dir(interface), *inspect.get_annotations(interface)}
    return {name for name in names if not name.startswith("_")}


class Asks(Planner):
    """Asks the planning context for a member."""

    def __init__(self, name):
        self.name = name

    def plan(self, context):
        getattr(context, self.name)


def test_the_interface_is_small():
    assert len(members(PlanningContext)) <= 22
    assert len(members(BulkOperations)) <= 12
    assert len(members(WorldState)) <= 16
    files = [Path(inspect.getfile(each)) for each in (PlanningContext, BulkOperations, WorldState)]
    assert sum(len(file.read_text().splitlines()) for file in files) < 385


def test_every_former_member_is_there_or_has_a_replacement():
    assert set(FORMER.split()) - members(PlanningContext) == set(RENAMED)


@pytest.mark.parametrize("name", sorted(RENAMED))
def test_a_former_member_is_answered_with_its_replacement(name):
    made = run(scenario(1.5, workload=queries_at(1.0)), Asks(name))
    [error] = made.planner_errors
    place = f"test_planning_interface.py:{inspect.getsourcelines(Asks.plan)[1] + 1}"
    said = f"AttributeError in {place}: context.{name} is now {RENAMED[name]}"
    assert error == f"at 1.000 s, on arrival: {said}"


@pytest.mark.parametrize("name", sorted(RENAMED))
def test_replacements_exist(name):
    def act(context):
        scope = {"context": context, "query": context.waiting[0], "dataset": "VOiCES"}
        scope["plan"] = next(context.candidates(scope["query"]))
        scope["configuration"], scope["samples"] = scope["plan"].configuration, 4
        if name not in ("close", "scratch"):  # They have gone.
            eval(RENAMED[name], scope)

    assert run(scenario(1.5, workload=queries_at(1.0)), Does(act)).planner_errors == []


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda context: context.deploi, "the planning context has no 'deploi'.*'deploy'"),
        (lambda context: context.bulk.vieww, "context.bulk has no 'vieww'.*'view'"),
        (lambda context: context.world.clustr, "context.world has no 'clustr'.*'cluster'"),
    ],
)
def test_a_member_that_never_was_is_answered_with_the_nearest(ask, said):
    def act(context):
        with pytest.raises(AttributeError, match=said):
            ask(context)

    assert run(scenario(1.5, workload=queries_at(1.0)), Does(act)).planner_errors == []


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            lambda context: context.candidates(context.waiting[0], order="price"),
            "candidates: order='price': choose cost or enumeration",
        ),
        *(
            (
                lambda context, ask=ask: getattr(context.world, ask)("clod"),
                "context.world: node 'clod': choose one of edge, cloud",
            )
            for ask in ("machines_up", "machines_used", "machines_on_standby", "free_cores")
        ),
        (
            lambda context: context.world.free_instances("clod", "1g.5gb"),
            "context.world: node 'clod': choose one of edge, cloud",
        ),
    ],
)
def test_a_wrong_argument_is_answered_in_one_sentence(ask, said):
    def act(context):
        with pytest.raises(PlannerError, match=f"^{said}$"):
            ask(context)

    assert run(scenario(1.5, workload=queries_at(1.0)), Does(act)).planner_errors == []


class Broken(Guided):
    """Has a property that fails."""

    @property
    def value(self):
        raise AttributeError("the cause")


def test_an_error_within_a_member_is_not_taken_for_a_missing_member():
    with pytest.raises(AttributeError, match="the cause"):
        Broken().value  # noqa: B018
    with pytest.raises(AttributeError, match="'Broken' object has no attribute '_value'"):
        Broken()._value  # noqa: B018


def test_check_planner_names_the_replacement_in_one_sentence():
    with pytest.raises(PlannerCheckError) as caught:
        check_planner(Asks("think"), other_process=False)
    sentence = str(caught.value)
    assert sentence.endswith("context.think is now context.charge")
    assert "\n" not in sentence


class Pries(Planner):
    """Looks behind the bulk operations, and hides that it was told off."""

    def plan(self, context):
        with suppress(Exception):
            context.bulk._service  # noqa: B018


class Writes(Planner):
    """Changes the description of the world."""

    def plan(self, context):
        context.world.cluster = None


@pytest.mark.parametrize(
    ("planner", "said"),
    [(Pries(), r"reads context\._service"), (Writes(), r"sets context\.cluster")],
)
def test_check_planner_guards_the_facets_too(planner, said):
    with pytest.raises(PlannerCheckError, match=said):
        check_planner(planner, other_process=False)


def test_a_run_names_the_replacement_in_its_summary():
    with pytest.warns(UserWarning, match=r"context\.view is now context\.bulk\.view"):
        result = run_lab(["experiment=speech_small", "horizon_s=20"], planner=Asks("view"))
    assert result.summary["status"] == "failed"
    first = result.summary["planner_error_first"]
    assert first.endswith("context.view is now context.bulk.view")


def test_the_old_name_of_the_context_warns():
    with pytest.deprecated_call(match="sim.Desk is now sim.PlanningContext"):
        assert sim.Desk is PlanningContext
    with pytest.raises(AttributeError, match="no attribute 'Desks'"):
        sim.Desks  # noqa: B018
