"""Goodput by hand: windows of birth, bounds, quantiles, verdicts, the horizon, cost."""

from math import inf, isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_models.devices import phones
from scenarios.queries import Query
from scenarios.slo import SLO
from sim.clock import NS_PER_S, ns
from sim.data_plane import COMPLETED, DROPPED, IN_FLIGHT, LOST, UNSERVED, RequestRecord
from sim.goodput import GoodputBook

WINDOW_S = 10.0


class Case:
    """One query in a book whose verdicts are kept; times are in seconds."""

    def __init__(self, slo, accuracy=lambda *_: 0.9, arrival_s=0.0):
        self.verdicts, self.closed = [], []
        self.book = GoodputBook(WINDOW_S, accuracy, self.verdicts.append, self.closed.append)
        query = Query(0, "app", "data", "tier", slo, phones()[0], "4G-LTE", arrival_s, 1.0)
        self.book.arrive(query, ns(arrival_s))

    def deploy(self, at_s, deployment=0):
        self.book.deploy(0, deployment, ns(at_s))

    def request(self, born_s, took_s, outcome=COMPLETED, deployment=0, allowance=1.0):
        if outcome == UNSERVED:
            deployment = None
        self.book.born(0, ns(born_s), deployment, allowance)
        self.end(born_s, took_s, outcome, deployment, allowance)

    def end(self, born_s, took_s, outcome=COMPLETED, deployment=0, allowance=1.0):
        zeros = [[0], [0], [0], [0, 0]]
        end_ns = ns(born_s) + ns(took_s)
        self.book.ended(
            RequestRecord(0, ns(born_s), deployment, outcome, end_ns, allowance, *zeros)
        )

    def judged(self, at_s, horizon=False):
        self.book.judge(ns(at_s), horizon)
        return self.verdicts


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
    assert (first.index, first.window.born, first.window.good) == (0, 1, 1)
    assert (second.index, second.window.born, second.repeated) == (1, 0, True)


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
    assert (verdict.window.good, verdict.met) == (19, True)


@pytest.mark.parametrize(("late", "met"), [(0, True), (1, True), (2, False)])
def test_latency_holds_if_good_requests_reach_the_quantile_of_those_born(late, met):
    """Of 20 requests at the 0.95 quantile, 19 must be good; the bound itself is in time."""
    case = served(SLO(latency_s=1.0), [1.0] * (20 - late) + [1.0 + 1e-9] * late)
    (verdict,) = case.judged(11)
    assert (verdict.latency_met, verdict.met, verdict.window.good) == (met, met, 20 - late)


@pytest.mark.parametrize("outcome", [UNSERVED, LOST, DROPPED])
def test_what_is_not_completed_is_bad_however_soon_it_ended(outcome):
    case = served(SLO(latency_s=1.0), [0.5] * 18)
    for number in range(2):
        case.request(5 + number, 0.0, outcome)
    (verdict,) = case.judged(11)
    assert not verdict.latency_met
    assert verdict.window.outcomes[outcome] == 2
    assert verdict.window.latency_quantile_s(0.95) == inf
    assert verdict.window.latency_quantile_s(0.9) == 0.5


def test_request_that_comes_after_the_verdict_was_counted_as_late():
    case = served(SLO(latency_s=1.0), [0.5] * 10)
    case.book.born(0, ns(9), 0, 1.0)
    (verdict,) = case.judged(11)
    assert (verdict.window.born, verdict.window.good, verdict.met) == (11, 10, False)
    case.end(9, 3.0)
    assert case.book.outcomes[COMPLETED] == 11


def test_empty_window_repeats_the_last_verdict_and_says_so():
    case = served(SLO(latency_s=1.0), [2.0])
    case.request(21, 0.5)
    verdicts = case.judged(41)
    assert [each.met for each in verdicts] == [False, False, True, True]
    assert [each.repeated for each in verdicts] == [False, True, False, True]
    assert case.book.goodput_ns == 20 * NS_PER_S


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
    assert (verdict.window.born, verdict.window.undecided, verdict.window.counted) == (21, 1, 20)
    assert (verdict.window.good, verdict.met, verdict.final) == (19, True, False)
    (account,) = case.closed
    assert account.outcomes[IN_FLIGHT] == 2


def test_accuracy_is_the_mean_over_what_was_served_by_the_content_of_its_birth():
    accuracies = {0.0: 0.9, 1.0: 0.6}
    case = Case(SLO(accuracy=0.75), lambda _q, _d, at_ns: accuracies[at_ns / NS_PER_S])
    case.deploy(0)
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
    case.book.add_cost(0, ns(10), usd)
    (verdict,) = case.judged(11)
    assert (verdict.cost_met, verdict.met) == (met, met)
    assert verdict.window.cost_usd == usd


def test_service_goodput_counts_only_time_with_a_deployment_in_force():
    case = Case(SLO(latency_s=1.0), arrival_s=1.0)
    case.deploy(4)
    case.request(5, 0.5)
    case.book.deploy(0, None, ns(7))
    case.deploy(9, 1)
    case.book.depart(0, ns(14))
    first, second = case.judged(21)
    assert (first.window.active_ns, first.window.deployed_ns) == (9 * NS_PER_S, 4 * NS_PER_S)
    assert (second.window.active_ns, second.window.deployed_ns) == (4 * NS_PER_S, 4 * NS_PER_S)
    assert (case.book.active_ns, case.book.goodput_ns) == (13 * NS_PER_S, 8 * NS_PER_S)
    assert len(case.closed) == 1


def test_query_without_a_deployment_adds_no_goodput_even_if_its_requests_were_good():
    case = served(SLO(latency_s=1.0), [0.5] * 3)
    case.book.deploy(0, None, ns(10))
    first, second = case.judged(21)
    assert (first.met, second.met, second.repeated) == (True, True, True)
    assert case.book.goodput_ns == 10 * NS_PER_S


def test_account_closes_when_the_last_request_has_ended():
    case = Case(SLO(latency_s=1.0))
    case.deploy(0)
    case.book.born(0, ns(4), 0, 1.0)
    case.book.depart(0, ns(5))
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
    assert case.book.trial(0).met is True
    case.deploy(16, 1)
    assert case.book.trial(1).met is None
    case.request(17, 1.5, deployment=1)
    assert case.book.trial(1).met is False
    assert case.book.trial(2) is None


@given(st.lists(st.floats(0.001, 3), min_size=1, max_size=60), st.sampled_from((0.5, 0.95, 0.99)))
def test_quantile_keeps_the_bound_exactly_when_enough_requests_are_good(took_s, quantile):
    case = served(SLO(latency_s=1.0, latency_quantile=quantile), took_s)
    (verdict,) = case.judged(20)[:1]
    assert verdict.latency_met == (verdict.window.latency_quantile_s(quantile) <= 1.0)


@pytest.mark.parametrize("quantile", [0.5, 0.55, 0.9, 0.95, 0.99])
def test_quantile_rule_is_exact_for_whole_numbers_of_requests(quantile):
    case = Case(SLO(latency_s=1.0, latency_quantile=quantile))
    case.deploy(0)
    for number in range(100):
        case.request(0.01 * number, 0.5 if number < round(100 * quantile) else 2.0)
    (verdict,) = case.judged(11)
    assert verdict.latency_met
    assert verdict.window.latency_quantile_s(quantile) == 0.5


def test_rounding_of_sums_decides_no_verdict():
    """Ten times 0.1 add up to less than 1; a mean of 0.1 must meet a floor of 0.1 all the same."""
    case = Case(SLO(accuracy=0.1, cost_usd_per_hour=0.3), lambda *_: 0.1)
    case.deploy(0)
    for number in range(10):
        case.request(0.1 * number, 0.5)
        case.book.add_cost(0, ns(number + 1), 0.3 / 3600)
    assert case.book.trial(0).met
    (verdict,) = case.judged(20)[:1]
    assert verdict.window.cost_usd > 0.3 * 10 / 3600
    assert verdict.met


def test_trial_counts_only_requests_that_keep_its_deployment():
    """The data plane follows by a tick: births of before a deployment are reported after it."""
    case = Case(SLO(latency_s=1.0))
    case.deploy(5)
    case.request(4.5, 0.0, UNSERVED)
    case.request(6, 0.5)
    trial = case.book.trial(0)
    assert (trial.born, trial.good, trial.met) == (1, 1, True)


def test_a_trial_that_a_failing_machine_ended_is_void():
    case = Case(SLO(latency_s=1.0))
    case.deploy(5)
    case.request(6, 0.5, LOST)
    case.book.void_trial(0, ns(7))
    assert case.book.trial(0).met is None
