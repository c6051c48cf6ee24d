"""The runtime's watch: what it notices, what it ignores, and what follows."""

from dataclasses import dataclass
from itertools import pairwise
from math import nan
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from worlds import Remembers, queries_at, run, scenario, tables_of

from planners.compass.compass import Compass
from planners.compass.profiling.decisions import Certain
from planners.compass.profiling.profiler import StratifiedProfiler
from planners.compass.runtime.watch import NoRuntime, Watch
from planners.compass.scheduling.repacking import StayAsTheyAre
from planners.compass.scheduling.scheduler import PriceMatching
from planners.compass.search.history import WarmStart
from planners.compass.search.planning_model import PlanningModel
from planners.compass.search.search import CmboSearch, RandomSearch
from planners.compass.state.records import (
    SEARCH,
    SERVICE,
    ActivePlan,
    SearchState,
    ServiceState,
    Slowness,
    seen_search_state,
)
from scenarios.cluster import Node
from scenarios.drift import Drift, DriftEvent
from scenarios.slo import SLO, Tier
from sim.planning.context import ServedContext

COLD = WarmStart(histories=0, ahead=0)
TRUSTING = PlanningModel(device_spread=0.0)
"""Takes devices for what the catalogue says, and so puts on them what a slowdown hurts."""
FOUR = (1.0, 2.0, 3.0, 4.0)
STEP_S = 85.0
ALARMS: list[tuple[float, int]] = []
SLOWNESS: list[float] = []


@dataclass(frozen=True)
class Noted(Watch):
    """A watch whose alarms, and what it believes of query 0's device, are noted."""

    def drifted(self, context, busy):
        found = super().drifted(context, busy)
        ALARMS.extend((context.now_s, query.id) for query in found)
        known = seen_search_state(context, 0)
        SLOWNESS.append(1.0 if known is None else known.slowness.device)
        return found


class Made:
    """A run of Compass in a small world.

    Args:
        runtime: who watches.
        events: what drifts.
        seed: of the run.
        search: how plans are found.
        horizon_s: of the run.
        times: arrivals.
        slo: what queries are promised.
        scheduler: who shares the machines.
        cluster: of the world.
    """

    def __init__(
        self,
        runtime,
        *events,
        seed=3,
        search=None,
        horizon_s=280.0,
        times=FOUR,
        slo=None,
        scheduler=PriceMatching(),  # noqa: B008 -- it never changes
        **cluster,
    ):
        ALARMS.clear()
        SLOWNESS.clear()
        workload = queries_at(*times, **slo or {"latency_s": 1.0, "accuracy": 0.9})
        planner = Compass(
            search=search or CmboSearch(warm_start=COLD, model=TRUSTING),
            scheduler=scheduler,
            runtime=runtime,
            improve_s=0.0,
        )
        self.tables = tables_of(
            scenario(horizon_s, workload=workload, drift=Drift(list(events)), **cluster),
            planner,
            seed,
        )
        self.decisions = self.tables["decisions"]
        self.alarms, self.slowness = list(ALARMS), list(SLOWNESS)

    @property
    def moved(self):
        """Queries that were deployed anew at a tick."""
        return set(self.decisions.filter(pl.col("trigger") == "tick")["query"])

    def bad(self, what, from_s):
        """Return the share of windows that fail a part of the SLO, of those that begin later."""
        windows = self.tables["windows"].filter(pl.col("start_s") >= from_s)
        return 1 - windows[what].mean()


def slower(factor=0.05, **more):
    return DriftEvent("device_slowdown", at_s=STEP_S, factor=factor, **more)


class TestLatency:
    """A step in latency shows in windows."""

    def test_drift_is_found_soon_and_lasts_without_replanning(self):
        watched, left = Made(Noted(), slower()), Made(NoRuntime(), slower())
        early = sum(at_s <= STEP_S for at_s, _ in watched.alarms)
        assert early <= 1, "a window that is bad by chance"
        assert len(watched.alarms) > early
        assert watched.moved
        assert left.moved == set()
        assert left.bad("latency_met", 160.0) > 0.3
        assert watched.bad("latency_met", 160.0) < 0.5 * left.bad("latency_met", 160.0)

    def test_drift_of_latency_keeps_profiles(self):
        """The same configurations elsewhere do: none needs to be profiled again, or another."""
        made = Made(Noted(audit_every_s=0.0), slower(), seed=2)
        assert made.moved
        assert made.tables["profiling"]["at_s"].max() < STEP_S

    def test_only_queries_that_drifted_are_planned_again(self):
        made = Made(Noted(), slower(share=0.5))
        drifted = {query for _, query in made.alarms}
        assert 0 < len(drifted) < 4
        assert made.moved <= drifted
        rest = made.decisions.filter(~pl.col("query").is_in(list(drifted)))
        assert rest["query"].is_unique().all()

    def test_a_query_that_cannot_move_is_corrected_once_for_the_same_cause(self):
        """Its device is five times as slow, however often that is seen."""

        class Once(CmboSearch):
            def run(self, context, query, market, seconds, improve):
                if query in context.running:
                    return []
                return super().run(context, query, market, seconds, improve)

        made = Made(
            Noted(),
            slower(0.2),
            search=Once(warm_start=COLD),
            times=(1.0,),
            slo={"latency_s": 0.5, "accuracy": 0.5},
            scheduler=PriceMatching(regrouping=StayAsTheyAre()),
        )
        assert len(made.alarms) >= 4
        after = [each for each in made.slowness if each > 2]
        assert len(after) > 10
        assert 2.5 < min(after) <= max(after) < 6.0

    @pytest.mark.parametrize("seed", range(1, 6))
    def test_without_drift_there_is_no_alarm(self, seed):
        watch = Noted(audit_every_s=20.0)
        made = Made(watch, seed=seed, slo={"latency_s": 2.0, "accuracy": 0.9})
        assert made.tables["windows"].height > 20
        audited = made.tables["profiling"].filter(pl.col("at_s") > 20.0)
        assert audited.height > 20
        assert made.alarms == []
        assert made.moved == set()

    def test_a_window_in_which_models_were_still_loading_tells_nothing_of_the_plan(self):
        """It begins after the order, and ends with half of its requests unserved."""
        made = Made(Noted(), times=(39.0,), horizon_s=100.0, load_bytes_per_s=2.4e7)
        assert 50.0 < made.decisions["in_force_s"].min() < 70.0
        assert not made.tables["windows"].sort("start_s")["latency_met"][1]
        assert made.alarms == []

    def test_busy_queries_are_not_watched(self):
        class Elsewhere(Noted):
            def drifted(self, context, busy):
                return super().drifted(context, {query.id for query in context.running})

        made = Made(Elsewhere(audit_every_s=20.0), slower())
        assert made.alarms == []
        assert set(made.slowness) == {1.0}
        assert made.tables["profiling"]["at_s"].max() < 20.0

    def test_slack_lets_some_misses_pass(self):
        made = Made(Noted(slack=19.0), slower(), horizon_s=200.0)
        assert made.alarms == []


VOICES = {"latency_s": 4.0, "accuracy": 0.55, "datasets": {"VOiCES": 1.0}}
LOW = VOICES | {"accuracy": 0.15}


class TestAccuracy:
    """A step in accuracy shows in audits alone."""

    def made(self, runtime, factor=0.5, slo=VOICES, many=4, seed=1):
        step = DriftEvent("content_shift", at_s=STEP_S, factor=factor)
        search = RandomSearch(warm_start=COLD)
        times = tuple(float(number) for number in range(1, many + 1))
        return Made(runtime, step, seed=seed, search=search, times=times, slo=slo, horizon_s=320.0)

    def test_it_is_found_by_audits(self):
        made = self.made(Noted(audit_every_s=20.0, audit_samples=96))
        soon = [query for at_s, query in made.alarms if STEP_S < at_s <= STEP_S + 60.0]
        assert sorted(soon) == [0, 1, 2, 3]
        assert min(made.alarms)[0] > STEP_S

    def test_drift_above_the_floor_is_found_and_changes_no_configuration(self):
        """All that was profiled is of the past; but what serves the queries still does."""
        made = self.made(Noted(audit_every_s=20.0, audit_samples=96), slo=LOW, seed=8)
        at_s, query = made.alarms[0]
        assert STEP_S < at_s <= STEP_S + 30.0
        assert made.tables["windows"]["accuracy"].min() > LOW["accuracy"]
        # A query that first got a plan that was ready can move to a cheaper place.
        configurations = made.decisions.group_by("query").agg(pl.col("configuration").n_unique())
        assert configurations["configuration"].max() == 1
        served = made.decisions.filter(pl.col("query") == query)["configuration"].unique()
        again = made.tables["profiling"].filter(
            (pl.col("query") == query) & pl.col("at_s").is_between(at_s, at_s + 10.0)
        )
        assert set(again["configuration"]) == set(served)

    def test_comparison_with_the_floor_alone_misses_drift_above_it(self):
        blind = Noted(audit_every_s=20.0, audit_samples=96, drift_alpha=1e-30)
        assert self.made(blind, slo=LOW, seed=8).alarms == []

    def test_less_evidence_suffices_where_others_drifted(self):
        """Audits of few items: one query alone is found late, many make each other suspect."""

        def found_s(many):
            made = self.made(Noted(audit_every_s=20.0, audit_samples=24), 0.4, many=many)
            return min(at_s for at_s, query in made.alarms if query == 0)

        assert STEP_S < found_s(12) < found_s(1)

    def test_its_data_are_renewed_and_profiled_anew(self):
        made = self.made(Noted(audit_every_s=20.0, audit_samples=96))
        query = made.alarms[0][1]
        mine = made.tables["profiling"].filter(pl.col("query") == query)
        late = mine.filter(pl.col("at_s") > made.alarms[0][0])
        assert late.filter(pl.col("samples") != 96).height > 0
        assert (late["true_accuracy"] < mine["true_accuracy"].max()).all()

    def test_without_audits_nothing_is_found(self):
        for runtime in (NoRuntime(), Noted(audit_every_s=0.0)):
            made = self.made(runtime)
            assert made.alarms == []
            assert made.moved == set()
            assert made.tables["profiling"]["at_s"].max() < 20.0

    def test_an_audit_that_no_budget_pays_for_tells_nothing(self, monkeypatch):
        measure = ServedContext.measure_live_accuracy
        monkeypatch.setattr(
            ServedContext,
            "measure_live_accuracy",
            lambda context, query, _: measure(context, query, 0),
        )
        assert self.made(Noted(audit_every_s=20.0)).alarms == []

    def test_audits_come_as_often_as_told_and_are_charged(self):
        made = self.made(Noted(audit_every_s=50.0, audit_samples=8), factor=0.05)
        audits = made.tables["profiling"].filter((pl.col("query") == 3) & (pl.col("samples") == 8))
        assert 4 <= audits.height <= 6
        assert (audits["at_s"].diff().drop_nulls() > 49.999).all()
        assert (audits["charged_s"] > 1e-3).all()

    def test_audits_take_no_more_than_their_share_of_time(self):
        share = 4e-3
        made = self.made(Noted(audit_every_s=20.0, audit_samples=96, audit_share=share), 1.0)
        audits = made.tables["profiling"].filter(pl.col("samples") == 96, pl.col("at_s") > 20.0)
        gaps = audits.select(
            (pl.col("at_s").diff() - pl.col("charged_s").shift() / share).over("query")
        )
        waited = gaps.to_series().drop_nulls()
        assert waited.len() >= 3
        assert waited.min() > 0
        often = self.made(Noted(audit_every_s=20.0, audit_samples=96), 1.0).tables["profiling"]
        assert often.filter(pl.col("samples") == 96, pl.col("at_s") > 20.0).height > audits.height


def test_after_a_failure_queries_are_served_by_machines_that_work():
    failure = DriftEvent("machine_failure", at_s=61.0, node="cloud", duration_s=500.0)
    made = Made(Noted(), failure, horizon_s=160.0)
    windows = made.tables["windows"].filter(pl.col("start_s") >= 80.0)
    assert windows["deployed_s"].sum() > 0.9 * windows["active_s"].sum()


def test_a_machine_on_standby_takes_over_without_booting():
    failure = DriftEvent("machine_failure", at_s=81.0, node="cloud", duration_s=500.0)
    served = {}
    for standby in (0, 2):
        nodes = {"cloud": Node("cloud", "a2-highgpu-1g", count=2, standby=standby, boot_s=60.0)}
        made = Made(NoRuntime(), failure, horizon_s=160.0, nodes=nodes, times=(1.0,))
        served[standby] = (
            made.tables["windows"].filter(pl.col("start_s") >= 80.0)["deployed_s"].sum()
        )
    assert served[2] > served[0] + 50.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audit_every_s", -1.0),
        ("slack", -0.1),
        ("audit_samples", 0),
        ("audit_every_s", nan),
        ("audit_samples", 1.5),
        ("audit_share", 0.0),
        ("drift_alpha", 1.0),
        ("alpha", 0.0),
        ("alpha", 1.0),
    ],
)
def test_parameters_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}: must"):
        Watch(**{name: value})


def test_deployments_are_looked_after_at_the_first_tick_of_each_period():
    looked_s = []

    class Looking(NoRuntime):
        def drifted(self, context, busy):
            looked_s.append(context.now_s)
            return super().drifted(context, busy)

    run(
        scenario(15.0, workload=queries_at(1.0)),
        Compass(runtime=Looking(), watch_every_s=4.0, replan_every_s=2.0),
        3,
    )
    assert looked_s == [4.0, 8.0, 12.0]


@pytest.mark.parametrize("many", [1, 12])
def test_queries_that_no_plan_can_serve_are_judged_ever_more_rarely(many):
    """Nobody has left, so they are expected to stay for as long as the run has lasted."""
    searched_s = []

    class Noting(CmboSearch):
        def run(self, context, query, *more, **options):
            if query.id == 0:
                searched_s.append(context.now_s)
            return super().run(context, query, *more, **options)

    tiers = {"all": Tier(1.0, 0.01, 0.999, None)}
    workload = queries_at(*(0.5 + 0.001 * number for number in range(many)), tiers=tiers)
    certain = StratifiedProfiler(decision=Certain())
    search = Noting(profiler=certain, warm_start=WarmStart(sharing="pooled"))
    planner = Compass(search=search, budget_s=1.0, pause_s=2.0, known_for=0.5)
    run(scenario(80.0, workload=workload), planner, 3)
    late_s = [second for second in searched_s if second > 5]
    assert 3 <= len(late_s) <= 5
    for before_s, after_s in pairwise(late_s):
        assert after_s >= before_s + 0.5 * (after_s - 1.5)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("watch_every_s", 0.0, "above 0"),
        ("replan_every_s", -1.0, "above 0"),
        ("pause_s", -0.5, "0 or more"),
        ("known_for_s", -1.0, "0 or more"),
        ("known_for", 1.0, "0 or more, and below 1"),
        ("budget_s", nan, "0 or more"),
        ("improve_s", nan, "0 or more"),
    ],
)
def test_times_out_of_range_are_refused(name, value, allowed):
    with pytest.raises(ValueError, match=f"{name}={value}: must be {allowed}"):
        Compass(**{name: value})


class Board(Remembers):
    """A context at which one query runs on its device and on a server; its last window was bad.

    Args:
        waits_s: mean waits of its requests on the device and on the server.
        server_s: mean time on the server.
        found: what is known of the query.
        elsewhere_s: what was predicted of the server.
    """

    now_s = 60.0
    DEVICE_S = 0.5

    def __init__(self, waits_s, server_s, found, elsewhere_s):
        self.query = SimpleNamespace(id=0, slo=SLO(latency_s=1.0))
        configuration = SimpleNamespace(index=0)
        self.plan = SimpleNamespace(placement=("device", "cloud"), configuration=configuration)
        known = ActivePlan(self.plan, 0.0, self.DEVICE_S, 0.1, elsewhere_s, None, 0)
        self.memory = {(SERVICE, 0): ServiceState(known), (SEARCH, 0): found}
        self.bulk = self.world = self
        self.running, self.plans = (self.query,), {0: self.plan}
        times = {"compute_s": (self.DEVICE_S, server_s), "waiting_s": waits_s, "transfer_s": (0.1,)}
        counts = {"born": 10, "good": 0, "completed": 10}
        self.reports = [SimpleNamespace(end_s=end_s, **counts, **times) for end_s in (30.0, 60.0)]

    def last_counts(self):
        return np.array([[10, 0]])

    def telemetry(self, query):
        return self.reports

    def active_since_s(self, query):
        return 0.0

    def plan_of(self, query):
        return self.plan

    def slowness(self):
        assert Watch().drifted(self, ()) == [self.query]
        return self.memory[SEARCH, 0].slowness


KNOWN = Slowness(device_known=True)


def test_that_requests_queue_on_a_device_does_not_make_it_slow():
    """Predictions add the queue to its speed; as slowness it would count twice."""
    found = Board((2.0, 0.0), 0.2, SearchState(slowness=KNOWN), elsewhere_s=0.2).slowness()
    assert found == KNOWN


def test_servers_that_were_slow_are_no_longer_believed_so_when_they_are_not():
    """A crowded station is no reason to think so of all others for ever."""
    slow = Board((0.0, 0.2), 0.2, SearchState(slowness=KNOWN), elsewhere_s=0.1).slowness()
    assert slow.elsewhere == pytest.approx(4.0)
    after = Board((0.0, 0.0), 0.1, SearchState(slowness=slow), elsewhere_s=0.4).slowness()
    assert after.elsewhere == 1
    quick = Board((0.0, 0.0), 0.01, SearchState(slowness=after), elsewhere_s=0.1).slowness()
    assert quick.elsewhere == 1, "servers that happen to be idle are not fast"


class Seer(Compass):
    """Notes, in addition to planning, what is believed and what is true of devices."""

    sees_truth = True

    def plan(self, context):
        super().plan(context)
        for query in context.running:
            found = seen_search_state(context, query.id)
            if query.id not in TRUE:  # nothing drifts
                nominal, truth = context.bulk.view(query), context.bulk.truth(query).view
                [row, *_] = (nominal.station < 0).all(axis=1).nonzero()[0]
                TRUE[query.id] = truth.latency_factors[row, 0] / nominal.latency_factors[row, 0]
            if found is not None:
                SEEN[query.id] = found.slowness, float(TRUE[query.id])


SEEN, TRUE = {}, {}


def test_the_first_window_tells_how_fast_a_device_is():
    """However good it was: the next plan may put more on the device."""
    SEEN.clear()
    TRUE.clear()
    planner = Seer(search=CmboSearch(warm_start=COLD), runtime=Watch(audit_every_s=0.0))
    workload = queries_at(1.0, 3.0, 5.0, latency_s=4.0, accuracy=0.8)
    world = run(scenario(150.0, workload=workload), planner, 3)
    assert world.planner_errors == []
    assert len(SEEN) == 3
    for slowness, slower in SEEN.values():
        assert slowness.device_known
        assert slowness.device == pytest.approx(slower, rel=0.3), "of some ten requests"
    assert max(abs(slower - 1) for _, slower in SEEN.values()) > 0.1
