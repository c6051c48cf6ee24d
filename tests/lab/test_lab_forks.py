"""A fork without changes repeats its run, and a change holds from its decision on."""

from dataclasses import replace
from functools import cache

import polars as pl
import pytest

from lab import Changes, fork, run
from lab.common.errors import InputError
from lab.forks.fork import continued
from planners.teaching.cheapest_feasible import CheapestFeasible
from scenarios.drift import DriftEvent
from sim.controlplane.recording import Forced, Instead, Recorder

TABLES = (
    *("queries", "windows", "operators", "decisions", "offers", "profiling", "machines"),
    "allocations",
)
WALL = ("wall", "rss")
DRIFT = (
    "drift.events=[{kind: planner_crash, at_s: 100, duration_s: 10}, "
    "{kind: machine_failure, at_s: 150, node: cloud, duration_s: 30}, "
    "{kind: content_shift, at_s: 90, share: 0.5}]"
)
CASES = {
    "compass speech": ("experiment=speech_small", "planner=compass", "horizon_s=130", DRIFT),
    "compass blocks": ("experiment=tracking_small", "planner=compass", "data_plane=blocks"),
    "videostorm": ("experiment=speech_small", "planner=videostorm", DRIFT, "horizon_s=160"),
    "vulcan": (
        "experiment=chat_small",
        "planner=vulcan",
        DRIFT,
        "data_plane=blocks",
        "horizon_s=200",
    ),
    "greedy": ("experiment=speech_small", "planner=greedy", "horizon_s=200", "requests=true"),
    "chameleon": ("experiment=tracking_small", "planner=chameleon", "horizon_s=300"),
    "random": ("experiment=speech_small", "planner=random_feasible", DRIFT, "horizon_s=120"),
    "standby": ("experiment=speech_small", "planner=spare_machines", "horizon_s=200"),
    "idle": (
        *("experiment=speech_small", "planner=videostorm", "horizon_s=90"),
        *("cluster.profiling.kind=idle_instances", "cluster.nodes.cloud.standby=1"),
    ),
}
SLOW = ("compass speech", "compass blocks", "videostorm", "chameleon", "standby")


class LastMachine(CheapestFeasible):
    """Keeps all machines of the cloud on standby."""

    def plan(self, context):
        context.keep_standby("cloud", context.world.cluster.nodes["cloud"].count)


@cache
def recorded(case):
    return run(
        [*CASES[case], *([] if "data_plane" in str(CASES[case]) else ["data_plane=events"])],
        record=True,
    )


@cache
def small():
    return recorded("greedy")


def assert_same(one, other):
    for table in TABLES:
        assert getattr(one, table).equals(getattr(other, table)), table
    if one.requests is not None:
        assert one.requests.equals(other.requests)
    for key, value in one.summary.items():
        if not any(word in key for word in WALL):
            assert other.summary[key] == value, key


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "case", [pytest.param(each, marks=[pytest.mark.slow] * (each in SLOW)) for each in CASES]
)
def test_a_fork_without_changes_has_the_same_tables(case):
    one = recorded(case)
    calls = one.recorded.recording.calls
    for at in (len(calls) // 2, len(calls)):
        again = continued(one.recorded.setup, Recorder(one.recorded.recording, at))
        assert_same(one, again)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_recording_changes_no_result():
    assert_same(run([*CASES["greedy"], "data_plane=events"]), small())


def deployed(result):
    return result.decisions.filter(pl.col("outcome") == "deployed")


def test_a_query_that_waits_at_a_fork_is_served_later_and_the_past_stays():
    one = small()
    query, at_s = (
        deployed(one).filter(pl.col("triggered_s") > 60).select("query", "triggered_s").row(1)
    )
    other = fork(one, at_s, Changes({query: "wait"}))
    for result in (one, other):
        assert query in deployed(result)["query"]
    first = [deployed(each).filter(query=query)["triggered_s"][0] for each in (one, other)]
    assert first[0] == at_s < first[1]
    before = pl.col("decided_s") < at_s
    assert one.decisions.filter(before).equals(other.decisions.filter(before))


def test_a_refused_query_is_never_served_again():
    one = small()
    query, at_s = deployed(one).select("query", "triggered_s").row(3)
    other = fork(one, at_s + 0.1, Changes({query: "refuse"}))
    later = other.decisions.filter(pl.col("query") == query, pl.col("triggered_s") > at_s)
    assert later["outcome"].to_list() == ["released"]
    assert_same(other, fork(other, at_s + 20))  # the refusal is part of what is repeated


def test_a_plan_is_deployed_instead_of_the_planners_own():
    one = small()
    query, at_s = deployed(one).select("query", "triggered_s").row(3)
    chosen = {}

    def look(world, outcome):
        state = world.registry.living[query]
        chosen["plan"] = next(
            iter(world.planning_service.plan_space.ordered("cost", state.query.device))
        )

    at = next(i for i, call in enumerate(one.recorded.recording.calls) if call.at_ns >= at_s * 1e9)
    continued(one.recorded.setup, Recorder(one.recorded.recording, at, look=look))
    other = fork(one, at_s, Changes({query: chosen["plan"]}))
    row = other.decisions.filter(query=query, triggered_s=at_s).row(0, named=True)
    assert (row["outcome"], row["plan"]) == ("deployed", str(chosen["plan"]))
    assert row["plan"] != one.decisions.filter(query=query, triggered_s=at_s)["plan"][0]


def test_another_planner_takes_over_without_records():
    one = small()
    other = fork(one, 100.0, Changes(planner=CheapestFeasible()))
    assert other.summary["planner"] == "CheapestFeasible"
    before = pl.col("triggered_s") < 100
    assert one.decisions.filter(before).equals(other.decisions.filter(before))
    assert len(other.decisions.filter(~before)) > 0
    assert_same(other, fork(other, 150.0))


def test_machines_join_and_leave_and_events_happen_at_the_fork():
    one = small()
    count = one.scenario.cluster.nodes["cloud"].count
    more = fork(one, 60.0, Changes(machines={"cloud": count + 1}, planner=LastMachine()))
    joined = more.machines.filter(pl.col("machine") == count)
    assert len(joined) == 1
    assert joined["from_s"][0] >= 60.0
    none = fork(one, 100.0, Changes(machines={"cloud": 0}))
    assert none.machines.filter(node="cloud")["to_s"].max() <= 100.0
    crash = DriftEvent("planner_crash", 135.0, duration_s=20.0)
    crashed = fork(one, 100.0, Changes(drift=[crash]))
    away = pl.col("triggered_s").is_between(135, 154.9)
    assert len(one.decisions.filter(away)) > 0
    assert len(crashed.decisions.filter(away)) == 0
    for each in (more, none, crashed):
        before = pl.col("decided_s") < 60
        assert one.decisions.filter(before).equals(each.decisions.filter(before))


def test_machines_that_left_do_not_come_back():
    one = small()
    count = one.scenario.cluster.nodes["cloud"].count
    none = fork(one, 60.0, Changes(machines={"cloud": 0}))
    with pytest.raises(InputError, match=f"cloud={count} must be at most 0, because machines that"):
        fork(none, 100.0, Changes(machines={"cloud": count}))


def test_earlier_choices_are_made_before_new_ones_are_looked_for():
    one = small()
    recording = one.recorded.recording
    at, query = next(
        (at, query)
        for at, call in enumerate(recording.calls)
        for query, order in call.outcome.orders.items()
        if order.plan is not None
    )
    waits = Recorder(recording, at, [Forced(at, query, Instead.WAIT)])
    waited = continued(one.recorded.setup, waits).recorded.recording
    seen = []
    look = Recorder(waited, at, look=lambda _, outcome: seen.append(query in outcome.orders))
    continued(one.recorded.setup, look)
    assert seen == [False]


@pytest.mark.parametrize(
    ("at_s", "changes", "sentence"),
    [
        (-1, {}, "at_s=-1: is before the start of the run; must be 0 s or more"),
        (200, {}, "at_s=200: is after the end of the run, which is at 200 s"),
        (199.999, {}, "at_s=199.999: no decision follows; the last call of the planner was at"),
        ("1", {}, "at_s='1': must be a time in seconds"),
        (50, {"plans": {999: "wait"}}, "query 999: is unknown; the run has the queries 0 to"),
        (50, {"plans": {0: "stay"}}, "query 0: 'stay' must be a Plan, 'wait' or 'refuse'"),
        (50, {"machines": {"clod": 1}}, "machines=clod: no such node"),
        (50, {"machines": {"cloud": -1}}, "machines: cloud=-1 must be a whole number of 0 or more"),
        (50, {"machines": {"cloud": 10**9}}, "cluster.nodes.cloud.count="),
        (50, {"drift": [DriftEvent(at_s=40)]}, "drift: at_s=40 of a device_slowdown is before the"),
        (50, {"planner": "greedy"}, "planner='greedy': must be an object of a class that derives"),
    ],
)
def test_an_impossible_fork_is_refused_in_one_sentence(at_s, changes, sentence):
    with pytest.raises(InputError) as caught:
        fork(small(), at_s, Changes(**changes))
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_choice_that_comes_too_late_is_refused():
    one = small()
    query, end_s = (
        one.queries.filter(pl.col("departure_s") < 190).select("query", "departure_s").row(0)
    )
    with pytest.raises(InputError, match=f"query {query}: no call of the planner from the fork"):
        fork(one, end_s - 1e-6, Changes({query: "refuse"}))


def test_a_plan_that_cannot_run_is_refused_in_one_sentence():
    one = small()
    query, order = next(
        each
        for call in one.recorded.recording.calls
        for each in call.outcome.orders.items()
        if each[1].plan is not None
    )
    plan = replace(order.plan, placement=("moon",) * len(order.plan.placement))
    with pytest.raises(InputError) as caught:
        fork(one, 0, Changes({query: plan}))
    assert str(caught.value).startswith(f"{plan}: no node 'moon'; choose from device, edge, cloud")


def test_a_run_that_was_not_recorded_cannot_be_forked():
    with pytest.raises(InputError, match=r"use lab.run\(\.\.\., record=True\)"):
        fork(run(["horizon_s=1"]), 0)
