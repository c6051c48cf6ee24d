"""Where latency is stated per output length, a long answer may take proportionally longer."""

import numpy as np
import polars as pl
import pytest
from worlds import At, Does, declared, overhear, pipeline, requests, run

from hardware_models.devices import devices
from scenarios.cluster import NOMINAL, Cluster, Node
from scenarios.network import Network
from scenarios.queries import Query, births
from scenarios.requests import request_blocks
from scenarios.scenario import Scenario
from scenarios.slo import SLO, Tier
from scenarios.workload import Workload
from sim.clock import NS_PER_S
from sim.controlplane.world import World
from sim.dataplane.base.interface import COMPLETED, StationSpec
from sim.dataplane.blocks.plane import BlocksPlane
from sim.metrics.goodput import SloMonitor


def coding(bound_s, **changes):
    workload = Workload(
        arrivals=At((1.0,)),
        lifetime_mean_s=600.0,
        lifetime_min_s=599.0,
        tiers={"any": Tier(latency_s=bound_s)},
        datasets={"HumanEval": 1.0},
    )
    cluster = Cluster({"cloud": Node("cloud", "a2-highgpu-1g", standby=1)}, **NOMINAL)
    return Scenario(
        declared("code_generation", **changes), cluster, Network(), workload, horizon_s=600.0
    )


def smallest(context):
    for query in context.waiting:
        context.deploy(query, list(context.candidates(query))[-1])


@pytest.mark.parametrize("allowance", [0.05, 1.0, 4.0])
def test_without_a_bound_the_length_of_a_window_is_that_of_every_request(allowance):
    window_s, judged = 60.0, []
    monitor = SloMonitor(window_s, 1, judged.append, lambda _: None)
    query = Query(0, "a", "d", "t", SLO(), devices("phone")[0], "5G", 0.0, 1.0)
    monitor.arrive(query, 0)
    monitor.deploy(0, 0, 0, [(0, 1.0)])
    plane = BlocksPlane(monitor)
    plane.add_station(StationSpec(0))
    # Two of the first window are answered within its length, that of the second is not.
    born_ns = [NS_PER_S, 2 * NS_PER_S, 61 * NS_PER_S]
    plane.open_source(0, 0, requests(born_ns, size=[5, 50, 100], allowance=[allowance] * 3))
    plane.route(0, 0, pipeline(0, ("station", 0, NS_PER_S)))
    plane.advance(119 * NS_PER_S)
    monitor.judge(119 * NS_PER_S)
    assert not judged, "a window is judged when its last request has had its full bound"
    plane.advance(400 * NS_PER_S)
    monitor.judge(400 * NS_PER_S)
    good = [n for verdicts in judged for n in verdicts.good.tolist()][:2]
    assert good == [2, 0]


def test_requests_differ_in_length_and_only_then_in_allowance():
    for latency_per, same in (("output_length", False), ("request", True)):
        scenario = coding(10.0, latency_per=latency_per)
        (query, _), *_ = births(scenario, 3)
        block = next(request_blocks(scenario.application, query, 3))
        assert block.length.std() > 0.2
        assert (block.allowance == 1).all() == same
        assert same or (block.allowance == block.length).all()


class Keeping(World):
    """A world that keeps the records of its requests."""

    def __init__(self, *args):
        super().__init__(*args)
        self.recording = overhear(self)

    def latencies_s(self):
        """List (arrival in ns, plain latency, latency over length) of what was completed."""
        return [
            (each.arrival_ns, took_s, took_s / each.allowance)
            for each in self.recording.records
            if each.outcome == COMPLETED
            for took_s in [(each.ended_ns - each.arrival_ns) / 1e9]
        ]


def test_a_window_counts_latency_over_length_against_the_bound():
    """The verdicts are worked out again from the requests' own records."""
    free = run(coding(1000.0), Does(smallest), world=Keeping)
    bound_s = float(np.median([normalised for *_, normalised in free.latencies_s()]))
    made = run(coding(bound_s), Does(smallest), world=Keeping)
    windows = made.tables.take()["windows"].filter(pl.col("final"))
    done, window_ns = made.latencies_s(), made.monitor.window_ns
    assert len(done) > 20
    for row in windows.iter_rows(named=True):
        mine = [last for born, _, last in done if born // window_ns == row["window"]]
        assert row["good"] == sum(latency <= bound_s for latency in mine)
        assert row["latency_mean_s"] == pytest.approx(np.mean(mine))
    in_time = [(plain, normalised) for _, plain, normalised in done if normalised <= bound_s]
    assert max(plain for plain, _ in in_time) > bound_s, "long answers may take longer"


def test_a_window_is_judged_when_its_longest_request_had_its_time():
    """Every verdict that is final counts all of its requests, whichever way they ended."""
    made = run(coding(30.0), Does(smallest), world=Keeping)
    rows = made.tables.take()["windows"].filter(pl.col("final"))
    longest = {}
    for record in made.recording.records:
        window = record.arrival_ns // made.monitor.window_ns
        longest[window] = max(longest.get(window, 1.0), record.allowance)
    assert max(longest.values()) > 2
    for window, end_s in rows.select("window", "end_s").iter_rows():
        assert end_s + 30.0 * longest[window] <= 600.0


def test_estimates_and_predictions_are_of_normalised_latency_too():
    """Alone on an instance, what was profiled is what the windows show, within sampling error."""
    seen = {}

    def act(context):
        for query in context.waiting:
            plan = list(context.candidates(query))[-1]
            estimate = context.profile(query, plan, 1024)
            seen["profiled"] = estimate.latency_mean_s, estimate.latency_quantile_s
            predicted = context.predict(query, plan)
            seen["predicted"] = predicted.latency_mean_s, predicted.latency_quantile_s
            context.deploy(query, plan)

    made = run(coding(30.0), Does(act, budget_s=1e5), world=Keeping)
    later = run(coding(30.0), Does(smallest), world=Keeping)
    assert made.planner_errors == []
    latencies = [normalised for *_, normalised in later.latencies_s()]
    mean, tail = np.mean(latencies), np.quantile(latencies, 0.95)
    assert seen["profiled"] == (pytest.approx(mean, rel=0.2), pytest.approx(tail, rel=0.2))
    assert seen["predicted"] == (pytest.approx(mean, rel=0.2), pytest.approx(tail, rel=0.3))
