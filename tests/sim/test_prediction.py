"""The planners' queueing approximation: exact where it says so, and close to the event plane."""

from math import inf, sqrt
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import pipeline

from scenarios.network import PROCESSOR_SHARING
from scenarios.requests import RequestBlock
from scenarios.slo import SLO
from sim.api.prediction import DagPath, Prediction
from sim.cluster.members import StationLoad
from sim.dataplane.base.interface import LinkSpec, StationSpec
from sim.dataplane.base.rate_profile import constant
from sim.dataplane.base.request_rows import ARRIVAL, ENDED, QUERY
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane
from sim.planning.queueing import mean_wait_s, sojourn

LOADS = st.floats(0.01, 0.98)
SERVICES = st.floats(1e-4, 10)


def whole(operators, access_s=0.0, backhaul_s=0.0, backhaul_up_s=0.0, fixed_s=0.0):
    """Return what a request meets that visits all of so many operators."""
    return DagPath(tuple(range(operators)), access_s, backhaul_s, backhaul_up_s, fixed_s)


@given(load=LOADS, service_s=SERVICES)
def test_mean_wait_is_exact_for_m_m_1(load, service_s):
    assert mean_wait_s(service_s, 1.0, 1, load) == pytest.approx(service_s * load / (1 - load))


@given(load=LOADS, service_s=SERVICES, cv=st.floats(0, 3))
def test_mean_wait_is_exact_for_m_g_1(load, service_s, cv):
    """Pollaczek and Khinchine: arrival rate times second moment over 2 (1 - load)."""
    rate = load / service_s
    expected = rate * service_s**2 * (1 + cv**2) / (2 * (1 - load))
    assert mean_wait_s(service_s, cv, 1, load) == pytest.approx(expected)


def test_mean_wait_for_several_servers_is_within_a_tenth_of_erlang():
    assert mean_wait_s(1.0, 1.0, 2, 0.5) == pytest.approx(1 / 3, rel=0.1)
    assert mean_wait_s(1.0, 1.0, 4, 0.7) == pytest.approx(0.35721, rel=0.1)


def test_overload_is_infinitely_slow():
    assert mean_wait_s(1.0, 0.0, 1, 1.0) == inf
    mean, tail, (busy,) = sojourn(0.6, [1.0], [StationLoad(1, 0.5, 0.5)], whole(1), 0.0, 0.95)
    assert mean == tail == inf
    assert busy == pytest.approx(1.1)
    mean, tail, _ = sojourn(2.0, [0.1], [StationLoad(1)], whole(1, 0.6), 0.0, 0.95)
    assert mean == tail == inf, "the access link is a queue too"


def test_without_load_or_variation_the_prediction_is_the_sum_of_the_parts():
    mean, tail, busy = sojourn(
        1e-12,
        [0.2, 0.3],
        [StationLoad(1), StationLoad(2)],
        whole(2, 0.05, 0.01, fixed_s=0.5),
        0.0,
        0.95,
    )
    assert mean == pytest.approx(1.06)
    assert tail == pytest.approx(1.06, rel=1e-3)
    assert busy == pytest.approx((0.0, 0.0), abs=1e-9)


def test_without_any_variance_the_tail_is_the_mean():
    for service_s in (0.1, 0.3, 0.7, 1.1, 1.3):
        mean, tail, _ = sojourn(1e-300, [service_s], [StationLoad(1)], whole(1), 0.0, 0.95)
        assert mean == tail == service_s


def test_where_operators_fork_the_slowest_way_counts():
    """One way takes 0.2 + 0.3 s and an upload of 0.1 s, one 0.2 + 0.9 s; both 0.5 s more."""
    ways = [DagPath((0, 1), 0.1, 0.0, 0.0, 0.5), DagPath((0, 2), 0.0, 0.0, 0.0, 0.5)]

    def predict(rate, *some):
        loads = [StationLoad(1)] * 3
        return sojourn(
            rate, [0.2, 0.3, 0.9], loads, whole(3, 0.1, fixed_s=0.5), 0.0, 0.95, ways=some
        )

    mean, tail, _ = predict(1e-12, *ways)
    assert mean == pytest.approx(1.6)
    assert tail == pytest.approx(1.6, rel=1e-3)
    loaded = [predict(0.8, *some) for some in (ways, ways[:1], ways[1:])]
    assert loaded[0][:2] == loaded[2][:2]
    assert loaded[1][0] < loaded[2][0]
    assert loaded[0][2] == pytest.approx((0.16, 0.24, 0.72))
    # Of M/D/1: waits at 0.16 and at 0.72 on the second way, none of the first's.
    waits_s = 0.2 * 0.16 / (2 * 0.84) + 0.9 * 0.72 / (2 * 0.28)
    assert loaded[0][0] == pytest.approx(1.6 + waits_s)
    assert predict(1.2, *ways[:1])[0] == inf, "the other branch never catches up"


def test_the_backhaul_is_a_queue_that_others_fill_too():
    def predict(backhaul_up_s, others):
        way = whole(1, 0.0, backhaul_up_s, backhaul_up_s)
        return sojourn(1.0, [0.1], [StationLoad(1)], way, 0.0, 0.95, backhaul=others)

    alone, shared = predict(0.2, StationLoad(1)), predict(0.2, StationLoad(1, 3.0, 0.6))
    # M/D/1: from a utilisation of 0.2 to one of 0.8 at the same transmission time of 0.2 s.
    wait_s = [0.2 * busy / (2 * (1 - busy)) for busy in (0.2, 0.8)]
    assert shared[0] - alone[0] == pytest.approx(wait_s[1] - wait_s[0])
    assert shared[1] > alone[1]
    assert predict(0.2, StationLoad(1, 4.0, 0.8))[0] == inf
    assert predict(0.0, StationLoad(1, 4.0, 0.8))[0] < inf, "it sends nothing there"


@given(rate=st.floats(0.1, 2), more=st.floats(1.01, 2), cv=st.floats(0.1, 1))
def test_more_load_is_never_predicted_to_be_faster(rate, more, cv):
    def predict(others):
        return sojourn(rate, [0.1], [StationLoad(1, others, others * 0.1)], whole(1), cv, 0.95)

    assert predict(more)[0] >= predict(1.0)[0]
    assert predict(more)[1] >= predict(1.0)[1]


def test_messages_that_share_a_link_are_slowed_in_proportion_to_their_size():
    """M/G/1-PS: all messages take 1 / (1 - load) times as long as alone, whatever the spread."""
    quick = [1e-9], [StationLoad(1)]
    for cv in (0.0, 2.0):
        mean, tail, _ = sojourn(3.0, *quick, whole(1, 0.2), cv, 0.95, shares_links=True)
        assert mean == pytest.approx(0.2 / (1 - 0.6))
        assert mean < tail < inf
    # On the backhaul, the own message counts, not the mean one.
    way, others = whole(1, 0.0, 0.2, 0.2), StationLoad(1, 30.0, 0.3)
    mean, _, _ = sojourn(1.0, *quick, way, 1.0, 0.95, backhaul=others, shares_links=True)
    assert mean == pytest.approx(0.2 / (1 - 0.5))
    assert sojourn(5.0, *quick, whole(1, 0.2), 0.0, 0.95, shares_links=True)[0] == inf


def test_prediction_is_within_a_tenth_of_a_link_that_messages_share():
    sojourns_ns: list[int] = []
    plane = BlocksPlane(SimpleNamespace(record=lambda *told: note(sojourns_ns, *told)))
    plane.add_link(LinkSpec(0, constant(10**6), 0, PROCESSOR_SHARING))
    count, rate, spread = 100_000, 5.0, 0.6
    rng = np.random.default_rng(33)
    arrival_ns = np.cumsum(rng.exponential(1e9 / rate, count)).astype(np.int64)
    log_variance = np.log1p(spread**2)
    sizes = np.exp(rng.normal(-log_variance / 2, sqrt(log_variance), count))
    block = RequestBlock(arrival_ns, sizes, *np.ones((2, count)), np.ones((count, 1)))
    plane.open_source(0, 0, iter([block]))
    plane.route(0, 0, pipeline(0, ("link", 0, 1.2e5)))
    plane.advance(int(arrival_ns[-1]) + 10**12)
    seen = np.array(sojourns_ns) / 1e9
    mean, tail, _ = sojourn(
        rate, [1e-9], [StationLoad(1)], whole(1, 0.12), spread, 0.95, shares_links=True
    )
    print(f"mean {mean / seen.mean() - 1:+.1%}, tail {tail / np.quantile(seen, 0.95) - 1:+.1%}")
    assert mean == pytest.approx(seen.mean(), rel=0.05)
    assert tail == pytest.approx(np.quantile(seen, 0.95), rel=0.1)


def test_an_slo_is_met_part_by_part():
    prediction = Prediction(0.5, 0.9, (0.1,), 0.8, 1.0)
    assert prediction.meets(SLO())
    assert prediction.meets(SLO(latency_s=0.9, accuracy=0.8, cost_usd_per_hour=1.0))
    assert not prediction.meets(SLO(latency_s=0.89))
    assert not Prediction(inf, inf, (1.0,), 0.8, 1.0).meets(SLO()), "nothing is ever answered"
    assert not prediction.meets(SLO(accuracy=0.81))
    assert not prediction.meets(SLO(cost_usd_per_hour=0.99))


def simulate(own_rate, others_rate, service_s, spread, count, seed):
    """Return the sojourns in seconds of a query on a tandem whose first station it shares."""
    rng = np.random.default_rng([31, seed])
    sojourns_ns: list[int] = []
    plane = EventsPlane(SimpleNamespace(record=lambda *told: note(sojourns_ns, *told)))
    for station in range(2):
        plane.add_station(StationSpec(station))
    log_variance = np.log1p(spread**2)
    last_ns = 0
    for query, rate in enumerate((own_rate, others_rate)):
        size = round(count * rate / own_rate)
        gaps = np.maximum(1, np.rint(rng.exponential(1e9 / rate, size))).astype(np.int64)
        sizes = np.exp(rng.normal(-log_variance / 2, sqrt(log_variance), size))
        block = RequestBlock(np.cumsum(gaps), sizes, *np.ones((2, size)), np.ones((size, 2)))
        last_ns = max(last_ns, int(block.arrival_ns[-1]))
        plane.open_source(0, query, iter([block]))
        stops = [("station", 0, service_s[0] * 1e9)]
        if query == 0:
            stops.append(("station", 1, service_s[1] * 1e9))
        plane.route(0, query, pipeline(query, *stops))
    plane.advance(last_ns + 10**12)
    return np.array(sojourns_ns) / 1e9


def note(sojourns_ns, rows, born, ended):
    """Note the sojourns of requests of query 0."""
    ends = rows[ended]
    ends = ends[ends[:, QUERY] == 0]
    sojourns_ns += (ends[:, ENDED] - ends[:, ARRIVAL]).tolist()


@pytest.mark.parametrize("others", [1.0, pytest.param(4.0, marks=pytest.mark.slow)])
def test_prediction_is_within_a_twentieth_of_the_event_plane_on_a_tandem_with_shared_load(others):
    """Size decides the service of one request at both stations, as in the approximation."""
    own, service_s, spread = 2.0, (0.1, 0.15), 0.6
    seen = simulate(own, others, service_s, spread, 20_000, seed=1)
    loads = [StationLoad(1, others, others * service_s[0]), StationLoad(1)]
    mean, tail, busy = sojourn(own, service_s, loads, whole(2), spread, 0.95)
    assert busy == pytest.approx(((own + others) * service_s[0], own * service_s[1]))
    assert mean == pytest.approx(seen.mean(), rel=0.05)
    assert tail == pytest.approx(np.quantile(seen, 0.95), rel=0.05)
