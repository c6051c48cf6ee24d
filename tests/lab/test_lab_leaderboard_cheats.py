"""What planners of a leaderboard gain by cheating, and what their processes know of the world."""

import pytest
from hostile_submissions import ENDS, SERVED, planning, remote
from polars.testing import assert_frame_equal

from lab import run
from lab.config.compose import FILES
from planners import CheapestFeasible


def same_tables(one, other):
    """Assert that two runs have the same rows in all tables."""
    for table in (
        "queries",
        "windows",
        "operators",
        "decisions",
        "offers",
        "profiling",
        "machines",
    ):
        assert_frame_equal(getattr(one, table), getattr(other, table))


@pytest.mark.slow
def test_changing_the_simulator_in_its_process_changes_nothing(tmp_path):
    code = (
        "import sim.metrics.goodput, sim.planning.search_clock, sim.api.charges as charges\n"
        "sim.metrics.goodput.SloMonitor.judge = lambda *_, **__: None\n"
        "sim.planning.search_clock.SearchClock.charge = lambda *_: None\n"
        "charges.CHARGES_S.update(dict.fromkeys(charges.CHARGES_S, 0.0))"
    )
    with remote(tmp_path, planning(code, ENDS)) as planner:
        cheated = run(SERVED, planner)
        assert planner.failure is None
    assert cheated.summary["service_goodput_mean"] > 0
    same_tables(cheated, run(SERVED, CheapestFeasible()))


OFFLOAD = """
from planners import CheapestFeasible
class Own(CheapestFeasible):
    budget_s = 1.0
    def __init__(self):
        pass
    def plan(self, context):
        for query in (*context.waiting, *context.running[:2]):
            for number, plan in enumerate(context.candidates(query)):
                if number % 40 == 7:
                    context.profile(query, plan.configuration, 4)
                if number == 900:
                    context.resample(query)
                estimate = context.profile(query, plan, 8 if number % 3 else 16)
                if estimate.meets(query.slo) and context.predict(query, plan).meets(query.slo):
                    if context.fits(query, plan):
                        context.deploy(query, plan)
                        break
"""


@pytest.mark.slow
@pytest.mark.parametrize("profiling", ["pool", "idle_instances"])
def test_what_its_process_knows_of_profiling_is_what_the_world_would_answer(profiling, tmp_path):
    world = [*SERVED, "drift=planner_crash", "drift.events.0.at_s=60"]
    world += [f"cluster.profiling.kind={profiling}", "seed=1201"]
    names: dict[str, object] = {}
    exec(OFFLOAD, names)
    here = run(world, names["Own"]())
    with remote(tmp_path, OFFLOAD) as planner:
        there = run(world, planner)
        assert planner.failure is None
    assert here.profiling.height > 10
    assert here.summary["deployments"] > 0
    same_tables(here, there)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compass", "random_feasible", "videostorm", "jellybean"])
def test_planners_decide_in_a_process_as_they_do_in_the_world(name, tmp_path):
    drift = ["drift=planner_crash", "drift.events.0.at_s=60"]
    configured = (FILES / "planner" / f"{name}.yaml").read_text(encoding="utf-8")
    here = run([*SERVED, *drift, f"planner={name}"])
    with remote(tmp_path, configured, suffix=".yaml") as planner:
        there = run([*SERVED, *drift], planner)
        assert planner.failure is None
    assert here.summary["planner_crashes"] == 1
    same_tables(here, there)
