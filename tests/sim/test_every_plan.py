"""Every plan that a planner can name is worked out in full, or refused with a reason."""

from functools import cache
from math import isfinite

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import BRANCHED, declared

from hardware_models.devices import devices, families
from scenarios.applications.shipped import shipped_applications
from scenarios.cluster import DEVICE, NOMINAL, Cluster, Node
from scenarios.network import Network
from scenarios.queries import births
from scenarios.scenario import Scenario
from scenarios.workload import Workload
from sim.api.errors import PlannerError
from sim.api.plan import CORE, Allocation, Plan
from sim.catalogue.service_times import RefusalError
from sim.cluster.machines import Machines
from sim.cluster.queries import QueryRegistry
from sim.metrics.results import ResultTables
from sim.planning.plan_rules import check_plan
from sim.planning.plan_space import PlanSpace
from sim.planning.profiling_log import ProfilingLog
from sim.planning.service import PlanningService

NODES = {
    "edge": Node("edge", "g2-standard-8", standby=1),
    "cloud": Node("cloud", "a2-highgpu-1g", count=2),
    "big": Node("cloud", "a2-ultragpu-1g"),
    "hopper": Node("cloud", "a3-highgpu-1g"),
    "plain": Node("cloud", "n1-standard-4"),
}


@cache
def planning_service(name):
    workload = Workload(0.05, lifetime_mean_s=300.0, devices=dict.fromkeys(families(), 1.0))
    scenario = Scenario(
        declared(name), Cluster(NODES, **NOMINAL), Network(), workload, horizon_s=600.0
    )
    queries = [query for query, _ in births(scenario, 3)]
    made = PlanningService(
        scenario, 3, Machines(scenario.cluster), QueryRegistry(), ResultTables(), ProfilingLog()
    )
    return made, queries


def reason_or_figures(made, query, plan):
    """Return what a planner would be told of a plan: its figures, or why not."""
    try:
        check_plan(plan, made.nominal)
        return made.figures(query, plan)
    except (PlannerError, RefusalError) as error:
        return str(error)


@pytest.mark.parametrize("name", [*shipped_applications(), BRANCHED])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_property_every_plan_has_finite_figures_or_a_refusal_that_says_why(name, data):
    made, queries = planning_service(name)
    pipeline, application = made.application.pipeline, made.application
    query = data.draw(st.sampled_from(queries))
    places = list(made.cluster.places)
    steps = data.draw(
        st.lists(st.integers(0, len(places) - 1), min_size=1, max_size=len(pipeline.operators))
    )
    steps = sorted(steps + [steps[-1]] * (len(pipeline.operators) - len(steps)))
    placement, allocation = [], []
    for operator, step in zip(pipeline.operators, steps, strict=True):
        place = places[step]
        placement.append(place)
        profiles = (
            [DEVICE]
            if place == DEVICE
            else [CORE]
            if operator.kind == "cpu"
            else list(NODES[place].gpu_profiles) or ["none"]
        )
        allocation.append(
            Allocation(
                data.draw(st.sampled_from(profiles)),
                1 if place == DEVICE else data.draw(st.integers(1, 3)),
                data.draw(st.sampled_from([1, 2, 16, 300])),
                0.0,
                data.draw(st.sampled_from([1, 1, 2, 6])),
                data.draw(st.sampled_from([100, 100, 50])),
            )
        )
    configuration = data.draw(st.sampled_from(pipeline.configurations))
    plan = Plan(configuration, tuple(placement), tuple(allocation))
    told = reason_or_figures(made, query, plan)
    if isinstance(told, str):
        assert len(told) > 20
        assert "\n" not in told
        return
    dataset = application.datasets[query.dataset]
    for service in told.services:
        assert 0 < service.factor < 1e6
        assert all(isfinite(factor) and factor > 0 for factor in service.batch_factor)
        assert service.basis in ("measured", "interpolated", "scaled", "assumed", "extrapolated")
    assert np.isfinite(dataset.service_time_s[configuration.index]).all()
    assert np.isfinite(dataset.accuracy[configuration.index]).all()
    assert isfinite(told.whole.fixed_s)
    assert isfinite(told.list_price_usd_per_hour)
    assert told.list_price_usd_per_hour >= 0
    assert all(isfinite(demand.work) and demand.work > 0 for demand in told.demands)


@pytest.mark.parametrize("name", shipped_applications())
def test_every_candidate_of_every_device_can_be_served(name):
    made, queries = planning_service(name)
    by_device = {query.device.name: query for query in queries}
    rng = np.random.default_rng(5)
    for query in list(by_device.values())[:4]:
        plans = list(made.plan_space.ordered("cost", query.device))
        assert plans
        for index in rng.integers(len(plans), size=50).tolist():
            told = reason_or_figures(made, query, plans[index])
            assert not isinstance(told, str), told


@pytest.mark.parametrize("name", shipped_applications())
def test_plans_outside_the_space_are_refused(name):
    made, queries = planning_service(name)
    space: PlanSpace = made.plan_space
    offered = set(zip(space.layout.tolist(), space.configuration.tolist(), strict=True))
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(300):
        layout = int(rng.integers(len(space.layout_option)))
        configuration = int(rng.integers(len(made.application.pipeline.configurations)))
        if (layout, configuration) not in offered:
            plan = Plan(
                made.application.pipeline.configurations[configuration], *space.layout_at(layout)
            )
            assert isinstance(reason_or_figures(made, queries[0], plan), str)
            refused += 1
    assert refused or len(offered) == len(space.layout_option) * len(
        made.application.pipeline.configurations
    )


def test_a_device_without_memory_for_all_models_is_refused_by_name():
    made, _ = planning_service("speech_recognition")
    pipeline = made.application.pipeline
    small = min(devices("raspberry_pi"), key=lambda each: each.memory_bytes)
    with pytest.raises(RefusalError, match=f"{small.name} has"):
        made.nominal.check_device([2], pipeline.configurations[0], small)
