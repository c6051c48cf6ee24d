"""Goodput by hand: windows of birth, bounds, quantiles, verdicts, the horizon, cost."""

from dataclasses import fields
from math import ceil, inf, isnan
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import pipeline, requests

from hardware_models.devices import devices
from scenarios.queries import Query
from scenarios.slo import SLO
from sim.clock import NS_PER_S, ns
from sim.dataplane.base.interface import (
    COMPLETED,
    DROPPED,
    IN_FLIGHT,
    LOST,
    OUTCOMES,
    SHED,
    UNSERVED,
    StationSpec,
)
from sim.dataplane.base.recorders import Tee
from sim.dataplane.base.request_rows import (
    ALLOWANCE,
    ARRIVAL,
    DEPLOYMENT,
    ENDED,
    OUTCOME,
    QUERY,
    part_columns,
    width,
)
from sim.dataplane.blocks.plane import BlocksPlane
from sim.metrics.goodput import SloMonitor

WINDOW_S = 10.0
ROW, NO_ROW = np.array([0]), np.array([], np.int64)


class Case:
    """One query in a monitor whose verdicts are kept, one by one; times are in seconds."""

    def __init__(self, slo, arrival_s=0.0):
        self.verdicts, self.closed = [], []
        self.monitor = SloMonitor(WINDOW_S, 1, self.keep, self.closed.append)
        query = Query(0, "app", "data", "tier", slo, devices("phone")[0], "4G-LTE", arrival_s, 1.0)
        self.monitor.arrive(query, ns(arrival_s))

    def keep(self, verdicts):
        self.verdicts += one_by_one(verdicts)

    def deploy(self, at_s, deployment=0, accuracies=((0, 0.9),)):
        self.monitor.deploy(0, deployment, ns(at_s), accuracies)

    def born(self, born_s, deployment=0, allowance=1.0):
        rows = one_row(ns(born_s), ns(born_s), COMPLETED, deployment, allowance)
        self.monitor.record(rows, ROW, NO_ROW)

    def request(self, born_s, took_s, outcome=COMPLETED, deployment=0, allowance=1.0):
        if outcome == UNSERVED:
            deployment = -1
        self.born(born_s, deployment, allowance)
        self.end(born_s, took_s, outcome, deployment, allowance)

    def end(self, born_s, took_s, outcome=COMPLETED, deployment=0, allowance=1.0):
        rows = one_row(ns(born_s), ns(born_s) + ns(took_s), outcome, deployment, allowance)
        self.monitor.record(rows, NO_ROW, ROW)

    def judged(self, at_s, horizon=False):
        self.monitor.judge(ns(at_s), horizon)
        return self.verdicts


def one_row(arrival_ns, ended_ns, outcome, deployment, allowance):
    row = np.zeros((1, width(1)), np.int64)
    row[0, [ARRIVAL, ENDED, OUTCOME]] = arrival_ns, ended_ns, OUTCOMES.index(outcome)
    row[0, DEPLOYMENT] = deployment
    row.view(float)[0, ALLOWANCE] = allowance
    return row


def one_by_one(verdicts):
    """List verdicts as objects that hold plain values."""
    columns = {field.name: getattr(verdicts, field.name) for field in fields(verdicts)}
    columns["completed"] = verdicts.completed
    columns["counted"] = verdicts.born - verdicts.undecided
    plain = {
        name: column if isinstance(column, list) else column.tolist()
        for name, column in columns.items()
    }
    return [
        SimpleNamespace(**dict(zip(plain, values, strict=True)))
        for values in zip(*plain.values(), strict=True)
    ]


def served(slo, took_s, outcome=COMPLETED):
    """Return a case deployed from 0 whose requests, one each 0.1 s, take these times."""
    case = Case(slo)
    case.deploy(0)
    for number, each in enumerate(took_s):
        case.request(0.1 * number, each, outcome)
    return case


def test_request_counts_in_the_window_of_its_birth():
    case = Case(SLO(latency_s=5.0))
    case.deploy(0)
    case.request(9.9, 4.0)  # ends in the second window
    first, second = case.judged(25)
    assert (first.index, first.born, first.good) == (0, 1, 1)
    assert (second.index, second.born, second.repeated) == (1, 0, True)


def test_window_is_judged_at_its_end_plus_the_latency_bound_and_not_before():
    case = served(SLO(latency_s=5.0), [1.0])
    assert case.judged(14.999) == []
    (verdict,) = case.judged(15)
    assert verdict.final
    assert verdict.met


def test_without_a_latency_bound_a_request_has_a_windows_length_to_complete():
    case = served(SLO(), [10.0] * 19 + [10.001])
    assert case.judged(19.9) == []
    (verdict,) = case.judged(20)
    assert (verdict.good, verdict.met) == (19, True)


@pytest.mark.parametrize(("late", "met"), [(0, True), (1, True), (2, False)])
def test_latency_holds_if_good_requests_reach_the_quantile_of_those_born(late, met):
    """Of 20 requests at the 0.95 quantile, 19 must be good; the bound itself is in time."""
    case = served(SLO(latency_s=1.0), [1.0] * (20 - late) + [1.0 + 1e-9] * late)
    (verdict,) = case.judged(11)
    assert (verdict.latency_met, verdict.met, verdict.good) == (met, met, 20 - late)


@pytest.mark.parametrize("outcome", [UNSERVED, LOST, DROPPED, SHED])
def test_what_is_not_completed_is_bad_however_soon_it_ended(outcome):
    for quantile, latency_s in ((0.95, inf), (0.9, 0.5)):
        case = served(SLO(latency_s=1.0, latency_quantile=quantile), [0.5] * 18)
        for number in range(2):
            case.request(5 + number, 0.0, outcome)
        (verdict,) = case.judged(11)
        assert verdict.latency_met == (latency_s < inf)
        assert verdict.outcomes[OUTCOMES.index(outcome)] == 2
        assert verdict.latencies_s == [latency_s, 0.5, inf, inf]


def test_request_that_comes_after_the_verdict_was_counted_as_late():
    case = served(SLO(latency_s=1.0), [0.5] * 10)
    case.born(9)
    (verdict,) = case.judged(11)
    assert (verdict.born, verdict.good, verdict.met) == (11, 10, False)
    case.end(9, 3.0)
    assert case.monitor.outcomes[COMPLETED] == 11


def test_empty_window_repeats_the_last_verdict_and_says_so():
    case = served(SLO(latency_s=1.0), [2.0])
    case.request(21, 0.5)
    verdicts = case.judged(41)
    assert [each.met for each in verdicts] == [False, False, True, True]
    assert [each.repeated for each in verdicts] == [False, True, False, True]
    assert case.monitor.goodput_ns == 20 * NS_PER_S


def test_first_windows_without_requests_count_as_not_met():
    case = Case(SLO(latency_s=1.0))
    case.deploy(0)
    (verdict,) = case.judged(11)
    assert (verdict.met, verdict.repeated) == (False, True)


def test_in_flight_at_the_horizon_counts_neither_way_unless_it_is_late():
    case = served(SLO(latency_s=5.0), [1.0] * 19)
    case.request(8, 2.0, IN_FLIGHT)  # might still be in time
    case.request(4, 6.0, IN_FLIGHT)  # is late already
    (verdict,) = case.judged(10, horizon=True)
    assert (verdict.born, verdict.undecided, verdict.counted) == (21, 1, 20)
    assert (verdict.good, verdict.met, verdict.final) == (19, True, False)
    (account,) = case.closed
    assert account.outcomes[IN_FLIGHT] == 2


def test_accuracy_is_the_mean_over_what_was_served_by_the_content_of_its_birth():
    case = Case(SLO(accuracy=0.75))
    case.deploy(0, accuracies=((0, 0.9), (ns(1.0), 0.6)))
    case.request(0.0, 0.5)
    case.request(1.0, 0.5)
    case.request(2.0, 0.0, LOST)
    (verdict,) = case.judged(10, horizon=True)
    assert verdict.accuracy == pytest.approx(0.75)
    assert (verdict.accuracy_met, verdict.latency_met) == (True, False)


def test_accuracy_of_nothing_served_does_not_meet_a_floor():
    case = served(SLO(accuracy=0.1), [0.0], LOST)
    (verdict,) = case.judged(10, horizon=True)
    assert isnan(verdict.accuracy)
    assert not verdict.accuracy_met


@pytest.mark.parametrize(("usd", "met"), [(0.0249, True), (0.0251, False)])
def test_cost_ceiling_is_per_hour_of_the_querys_life(usd, met):
    """Alive for 10 s at 9 $/h: 2.5 cents are allowed, whenever it was deployed."""
    case = Case(SLO(latency_s=1.0, cost_usd_per_hour=9.0))
    case.deploy(6)
    case.request(7, 0.5)
    case.monitor.add_cost(0, ns(10), usd)
    (verdict,) = case.judged(11)
    assert (verdict.cost_met, verdict.met) == (met, met)
    assert verdict.cost_usd == usd


def test_service_goodput_counts_only_time_with_a_deployment_in_force():
    case = Case(SLO(latency_s=1.0), arrival_s=1.0)
    case.deploy(4)
    case.request(5, 0.5)
    case.monitor.deploy(0, None, ns(7))
    case.deploy(9, 1)
    case.monitor.depart(0, ns(14))
    first, second = case.judged(21)
    assert (first.active_ns, first.deployed_ns) == (9 * NS_PER_S, 4 * NS_PER_S)
    assert (second.active_ns, second.deployed_ns) == (4 * NS_PER_S, 4 * NS_PER_S)
    assert (case.monitor.active_ns, case.monitor.goodput_ns) == (13 * NS_PER_S, 8 * NS_PER_S)
    assert len(case.closed) == 1


def test_query_without_a_deployment_adds_no_goodput_even_if_its_requests_were_good():
    case = served(SLO(latency_s=1.0), [0.5] * 3)
    case.monitor.deploy(0, None, ns(10))
    first, second = case.judged(21)
    assert (first.met, second.met, second.repeated) == (True, True, True)
    assert case.monitor.goodput_ns == 10 * NS_PER_S


def test_account_closes_when_the_last_request_has_ended():
    case = Case(SLO(latency_s=1.0))
    case.deploy(0)
    case.born(4)
    case.monitor.depart(0, ns(5))
    case.judged(11)
    assert case.closed == []
    case.end(4, 9.0, DROPPED)
    case.judged(22)
    assert len(case.closed) == 1


def test_trial_judges_a_deployment_by_its_first_window_length_of_requests():
    case = Case(SLO(latency_s=1.0, accuracy=0.8))
    case.deploy(5)
    case.request(6, 0.5)
    case.request(14.9, 0.5)
    case.request(15.0, 3.0)  # after the trial
    assert case.monitor.trial(0).met is True
    case.deploy(16, 1)
    assert case.monitor.trial(1).met is None
    case.request(17, 1.5, deployment=1)
    assert case.monitor.trial(1).met is False
    assert case.monitor.trial(2) is None


@given(st.lists(st.floats(0.001, 3), min_size=1, max_size=60), st.sampled_from((0.5, 0.95, 0.99)))
def test_quantile_keeps_the_bound_exactly_when_enough_requests_are_good(took_s, quantile):
    case = served(SLO(latency_s=1.0, latency_quantile=quantile), took_s)
    (verdict,) = case.judged(20)[:1]
    assert verdict.latency_met == (verdict.latencies_s[0] <= 1.0)


@pytest.mark.parametrize("quantile", [0.5, 0.55, 0.9, 0.95, 0.99])
def test_quantile_rule_is_exact_for_whole_numbers_of_requests(quantile):
    case = Case(SLO(latency_s=1.0, latency_quantile=quantile))
    case.deploy(0)
    for number in range(100):
        case.request(0.01 * number, 0.5 if number < round(100 * quantile) else 2.0)
    (verdict,) = case.judged(11)
    assert verdict.latency_met
    assert verdict.latencies_s[0] == 0.5


def test_rounding_of_sums_decides_no_verdict():
    """Ten times 0.1 add up to less than 1; a mean of 0.1 must meet a floor of 0.1 all the same."""
    case = Case(SLO(accuracy=0.1, cost_usd_per_hour=0.3))
    case.deploy(0, accuracies=((0, 0.1),))
    for number in range(10):
        case.request(0.1 * number, 0.5)
        case.monitor.add_cost(0, ns(number + 1), 0.3 / 3600)
    assert case.monitor.trial(0).met
    (verdict,) = case.judged(20)[:1]
    assert verdict.cost_usd > 0.3 * 10 / 3600
    assert verdict.met


def test_trial_counts_only_requests_that_keep_its_deployment():
    """The data plane follows by a tick: births of before a deployment are reported after it."""
    case = Case(SLO(latency_s=1.0))
    case.deploy(5)
    case.request(4.5, 0.0, UNSERVED)
    case.request(6, 0.5)
    trial = case.monitor.trial(0)
    assert (trial.born, trial.good, trial.met) == (1, 1, True)


def test_a_trial_that_a_failing_machine_ended_is_void():
    case = Case(SLO(latency_s=1.0))
    case.deploy(5)
    case.request(6, 0.5, LOST)
    case.monitor.void_trial(0, ns(7))
    assert case.monitor.trial(0).met is None


@pytest.mark.parametrize(
    ("in_time", "late", "lost", "met"),
    [(0, 0, 4, None), (3, 0, 1, None), (2, 1, 1, False), (20, 0, 1, True), (0, 3, 0, False)],
)
def test_a_trial_that_requests_lost_with_a_machine_decided_is_void(in_time, late, lost, met):
    """Also of a deployment that was replaced, or whose machine failed after its trial."""
    case = Case(SLO(latency_s=1.0, latency_quantile=0.95))
    case.deploy(5)
    for how_many, latency_s, outcome in (
        (in_time, 0.5, COMPLETED),
        (late, 1.5, COMPLETED),
        (lost, 0.5, LOST),
    ):
        for _ in range(how_many):
            case.request(6, latency_s, outcome)
    case.deploy(7, deployment=1)
    assert case.monitor.trial(0).met is met


# Many queries at once, against a second way to count


def crowd(seed, queries=30, count=6_000):
    """Return rows of requests of many queries over five windows, with two operators each."""
    rng = np.random.default_rng([7, seed])
    rows = np.zeros((count, width(2)), np.int64)
    rows[:, QUERY] = rng.integers(queries, size=count)
    rows[:, ARRIVAL] = rng.integers(ns(5 * WINDOW_S), size=count)
    rows[:, OUTCOME] = rng.choice(len(OUTCOMES), count, p=[0.75, *[0.05] * 5])
    rows[:, DEPLOYMENT] = np.where(rows[:, OUTCOME] == OUTCOMES.index(UNSERVED), -1, rows[:, QUERY])
    rows[:, ENDED] = rows[:, ARRIVAL] + rng.exponential(ns(2.0), count).astype(np.int64)
    rows.view(float)[:, ALLOWANCE] = rng.choice([1.0, 0.5, 2.5], count)
    rows[:, part_columns(2)] = rng.integers(10**9, size=(count, 9))
    return rows


def told(rows, order, calls, queries=30):
    """Tell a monitor of the crowd in some order, in so many calls; return it and its verdicts."""
    verdicts = []
    monitor = SloMonitor(WINDOW_S, 2, verdicts.append, lambda _: None)
    for number in range(queries):
        slo = SLO(latency_s=2.0 + number % 3, accuracy=0.6)
        monitor.arrive(
            Query(number, "app", "data", "t", slo, devices("phone")[0], "4G-LTE", 0.0, 1.0), 0
        )
        monitor.deploy(number, number, 0, [(0, 0.7), (ns(20), 0.123456789 + 0.02 * number)])
    for part in np.array_split(order, calls):
        born = part if calls > 1 else rows[:, ARRIVAL].argsort()
        monitor.record(rows, born, part)
    monitor.judge(ns(5 * WINDOW_S), horizon=True)
    return monitor, [each for batch in verdicts for each in one_by_one(batch)]


@pytest.mark.parametrize("calls", [1, 7])
def test_invariant_determinism_order_of_reports_changes_no_bit(calls):
    rows = crowd(1)
    order = np.random.default_rng(5).permutation(len(rows))
    one, first = told(rows, np.arange(len(rows)), calls)
    other, second = told(rows, order, calls)
    assert repr(first) == repr(second)
    assert [repr(one.trial(each)) for each in range(30)] == [
        repr(other.trial(each)) for each in range(30)
    ]


def test_counts_of_many_queries_are_those_of_a_second_way_to_count():
    rows = crowd(2)
    monitor, verdicts = told(rows, np.arange(len(rows)), 3)
    assert len(verdicts) == 30 * 5
    assert [(each.queries.id, each.index) for each in verdicts] == [
        (query, index) for query in range(30) for index in range(5)
    ]
    assert sum(each.born for each in verdicts) == monitor.born_total == len(rows)
    allowance = rows.view(float)[:, ALLOWANCE]
    took_ns = rows[:, ENDED] - rows[:, ARRIVAL]
    for each in verdicts:
        mine = (rows[:, QUERY] == each.queries.id) & (rows[:, ARRIVAL] // ns(10) == each.index)
        done = mine & (rows[:, OUTCOME] == OUTCOMES.index(COMPLETED))
        bound_ns = np.rint(ns(each.queries.slo.latency_s) * allowance)
        in_flight = rows[:, OUTCOME] == OUTCOMES.index(IN_FLIGHT)
        assert each.born == mine.sum()
        assert each.outcomes == np.bincount(rows[mine, OUTCOME], minlength=len(OUTCOMES)).tolist()
        assert each.good == (done & (took_ns <= bound_ns)).sum()
        assert each.undecided == (mine & in_flight & (took_ns < bound_ns)).sum()
        ranked_s = sorted(np.rint(took_ns / allowance)[done] / 1e9)
        assert each.sojourn_ns == np.rint(took_ns / allowance)[done].sum()
        for quantile, latency_s in zip((0.95, 0.5, 0.95, 0.99), each.latencies_s, strict=True):
            rank = ceil(quantile * each.counted * (1 - 1e-9))
            assert latency_s == (ranked_s[rank - 1] if rank <= len(ranked_s) else inf)
        *parts_ns, answer_ns = rows[np.ix_(done, part_columns(2))].sum(axis=0).tolist()
        assert each.parts_ns == [parts_ns[:4], parts_ns[4:]]
        assert each.answer_ns == answer_ns
        later = rows[done, ARRIVAL] >= ns(20)
        expected = np.where(later, 0.123456789 + 0.02 * each.queries.id, 0.7)
        assert each.accuracy == pytest.approx(expected.mean(), abs=1e-12)


SOURCES = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 400), st.sampled_from((1.0, 1.0, 0.5, 3.0)), min_size=1),
        st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=3).map(sorted),
        st.integers(1, 500),
    ),
    min_size=1,
    max_size=4,
)


def counted(sources, cuts, recorder):
    """Return all that a monitor says of queries that a route serves at times, or none.

    Args:
        sources: of each query, the allowance of each birth, from when on it is served or is not,
            and when it departs; times are in nanoseconds.
        cuts: up to when requests are moved, in turn.
        recorder: makes of the monitor whom the plane tells.
    """
    told = []
    monitor = SloMonitor(1e-7, 1, lambda some: told.extend(one_by_one(some)), told.append)
    plane = BlocksPlane(recorder(monitor))
    plane.add_station(StationSpec(0))
    slo = SLO(latency_s=4e-8, accuracy=0.5)
    for number, (births, _, _) in enumerate(sources):
        monitor.arrive(
            Query(number, "app", "d", "t", slo, devices("phone")[0], "4G-LTE", 0.0, 1.0), 0
        )
        arrivals_ns = sorted(births)
        allowance = [births[each] for each in arrivals_ns]
        plane.open_source(0, number, requests(arrivals_ns, allowance=allowance))
    orders = [
        (at_ns, query, serve)
        for query, (_, turns, departs_ns) in enumerate(sources)
        for at_ns, serve in [*(turn for turn in turns if turn[0] < departs_ns), (departs_ns, None)]
    ]
    orders += [(cut_ns, len(sources), None) for cut_ns in (*cuts, 600)]
    for deployment, (at_ns, query, serve) in enumerate(sorted(orders, key=lambda each: each[:2])):
        if query == len(sources):
            plane.advance(at_ns)
            monitor.judge(at_ns)
        elif serve is None:
            plane.close_source(at_ns, query)
            monitor.depart(query, at_ns)
        else:
            monitor.deploy(query, deployment if serve else None, at_ns, [(0, 0.7)])
            route = pipeline(deployment, ("station", 0, 15.0))
            plane.route(at_ns, query, route if serve else None)
    plane.finish()
    monitor.judge(600, horizon=True)
    return repr((told, monitor.born_total, monitor.outcomes))


@given(SOURCES, st.lists(st.integers(1, 599), max_size=4))
def test_unserved_requests_are_counted_alike_by_the_run_and_one_by_one(sources, cuts):
    assert counted(sources, cuts, lambda monitor: monitor) == counted(sources, cuts, Tee)


def test_memory_is_that_of_the_open_windows_and_not_of_the_run():
    """Queries come and go, with ever new numbers; the arrays stop growing after the first."""
    closed = []
    monitor = SloMonitor(WINDOW_S, 1, lambda _: None, closed.append)
    sizes = []
    for number in range(200):
        at_ns = ns(number * WINDOW_S)
        slo = SLO(latency_s=1.0)
        monitor.arrive(
            Query(number, "app", "d", "t", slo, devices("phone")[0], "4G-LTE", 0.0, 1.0), at_ns
        )
        monitor.deploy(number, 2 * number, at_ns, [(0, 0.5)])
        rows = np.repeat(one_row(at_ns + 5, at_ns + 6, COMPLETED, 2 * number, 1.0), 500, axis=0)
        rows[:, QUERY] = number
        monitor.record(rows, np.arange(500), np.arange(500))
        monitor.depart(number, at_ns + ns(WINDOW_S))
        monitor.judge(at_ns + ns(WINDOW_S + 2))
        monitor.forget(2 * number)
        sizes.append(sum(array.nbytes for array in monitor._counts))
    assert len(closed) == 200
    assert all(each.born == 500 for each in closed)
    assert sizes[-1] == sizes[1]
