"""When queries and their requests arrive: rates, replay, and the messages for bad traces."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hardware_models.devices import devices
from scenarios.applications.shipped import shipped_application
from scenarios.arrivals import SHIPPED_TRACES, Poisson, TraceReplay
from scenarios.numerics.distributions import Constant, Exponential, LogNormal
from scenarios.queries import Query
from scenarios.random_streams import stream
from scenarios.requests import NS_PER_S, request_blocks
from scenarios.slo import SLO

RECORDED = {"azure_llm_2023_code": 8819, "azure_llm_2023_conversation": 19366}
APPLICATION = shipped_application("speech_recognition", requests_per_s=2.0)


def rng():
    return stream(1, "test")


# Queries


def test_poisson_arrivals_have_the_rate_and_exponential_gaps():
    times = Poisson().times_s(2.0, 10_000.0, rng())
    assert abs(len(times) - 20_000) < 4 * np.sqrt(20_000)
    assert times[0] >= 0
    assert times[-1] < 10_000
    gaps = np.diff(times)
    assert (gaps > 0).all()
    assert stats.kstest(gaps * 2.0, "expon").pvalue > 1e-3


@pytest.mark.parametrize("process", [Poisson(), TraceReplay("azure_llm_2023_code")])
def test_no_rate_no_arrivals(process):
    assert len(process.times_s(0.0, 100.0, rng())) == 0


def test_poisson_path_is_the_same_up_to_a_longer_horizon():
    short, long = (Poisson().times_s(1.0, horizon_s, rng()) for horizon_s in (300.0, 900.0))
    assert (long[: len(short)] == short).all()


@pytest.mark.parametrize("name", SHIPPED_TRACES)
def test_shipped_traces_are_readable_and_replay_whole_at_their_own_rate(name):
    trace = TraceReplay(name)
    rate = trace.rate_per_s()
    count = RECORDED[name]
    times = trace.times_s(rate, count / rate, rng())
    assert len(times) == count
    assert times[0] >= 0
    assert (np.diff(times) >= 0).all()
    assert 3000 < times[-1] < 3700, "the traces hold about an hour"


@pytest.mark.parametrize("name", SHIPPED_TRACES)
@pytest.mark.parametrize("rate", [0.1, 5.0])
def test_replay_has_the_wanted_mean_rate_also_beyond_the_trace(name, rate):
    horizon_s = 3.5 * RECORDED[name] / rate
    times = TraceReplay(name).times_s(rate, horizon_s, rng())
    assert (np.diff(times) >= 0).all()
    assert times[-1] < horizon_s
    first = times[: RECORDED[name]]
    again = times[RECORDED[name] : 2 * RECORDED[name]]
    assert np.allclose(again - first, RECORDED[name] / rate)
    whole = times[times < (1 - 1e-9) * 3 * RECORDED[name] / rate]
    assert len(whole) == 3 * RECORDED[name]


def write(path, text):
    path.write_text(text)
    return str(path)


def test_a_trace_may_begin_with_many_whole_seconds(tmp_path):
    lines = "".join(f"{second}\n" for second in range(500))
    trace = TraceReplay(write(tmp_path / "mine.csv", f"arrival_s\n{lines}500.5\n"))
    assert trace.rate_per_s() == pytest.approx(500 / 500.5)


@pytest.mark.parametrize(("rate", "gaps"), [(1 / 3, [2, 4, 3]), (2 / 3, [1, 2, 1.5])])
def test_replay_of_a_file_of_seconds_goes_round_from_a_moment_that_the_seed_draws(
    tmp_path, rate, gaps
):
    trace = TraceReplay(write(tmp_path / "mine.csv", "arrival_s,x\n12,a\n10,b\n16,c\n"))
    assert trace.rate_per_s() == pytest.approx(1 / 3)
    firsts = set()
    for seed in range(20):
        times = trace.times_s(rate, 9.0, stream(seed, "test"))
        assert len(times) == 9 * rate
        found = np.diff(times)
        turns = [np.roll(gaps * 3, -turn)[: len(found)] for turn in range(3)]
        assert any(found == pytest.approx(turn) for turn in turns), "a turn of the recorded gaps"
        firsts.add(times[0])
    assert len(firsts) == 20


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file; give a CSV file with a column arrival_s or TIMESTAMP, or one of"),
        ("", "not readable as CSV"),
        ("when\n1\n2\n", "has the columns when; one of arrival_s, TIMESTAMP is needed"),
        ("arrival_s\nsoon\nlater\n", "column arrival_s does not hold times"),
        ("TIMESTAMP\n2023-11-16 18:17:03\nlater\n", "column TIMESTAMP does not hold times"),
        ("arrival_s\n1\n", "needs at least two different times"),
        ("arrival_s\n1\n1\n", "needs at least two different times"),
        ("arrival_s\n1\nNaN\n2\n", "row 3 of column arrival_s is nan; every row needs a time"),
        ("arrival_s,b\n1,1\n2,1\n,1\n", "row 4 of column arrival_s is empty; every row needs a"),
        ("arrival_s\n-inf\n1\n", "row 2 of column arrival_s is -inf; every row needs a time"),
        ("TIMESTAMP,b\n2023-01-01 00:00:00,1\n,1\n", "row 3 of column TIMESTAMP is empty; every"),
    ],
)
def test_bad_traces_are_answered_by_one_sentence_with_the_key(tmp_path, content, reason):
    path = str(tmp_path / "bad.csv") if content is None else write(tmp_path / "bad.csv", content)
    with pytest.raises(ValueError, match=reason) as caught:
        TraceReplay(path).times_s(1.0, 10.0, rng())
    message = str(caught.value)
    assert message.startswith(f"workload.arrivals.path={path!r}: ")
    assert "\n" not in message


def test_binary_rubbish_is_not_a_trace(tmp_path):
    path = tmp_path / "rubbish.csv"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(ValueError, match=r"^workload.arrivals.path=") as caught:
        TraceReplay(str(path)).times_s(1.0, 10.0, rng())
    assert "\n" not in str(caught.value)


# Requests


def query(number=0, arrival_s=10.0):
    device = devices("phone")[0]
    return Query(number, "asr", "VOiCES", "any", SLO(), device, "4G-LTE", arrival_s, 2.0)


def births(number=0, arrival_s=10.0, blocks=100, seed=1):
    source = islice(request_blocks(APPLICATION, query(number, arrival_s), seed), blocks)
    return np.concatenate([block.arrival_ns for block in source])


def test_request_source_is_poisson_at_the_declared_rate():
    gaps_s = np.diff(births()) / NS_PER_S
    assert len(gaps_s) > 20_000
    assert abs(gaps_s.mean() * 2.0 - 1) < 4 / np.sqrt(len(gaps_s))
    assert stats.kstest(gaps_s * 2.0, "expon").pvalue > 1e-3


@given(number=st.integers(0, 500), arrival_s=st.floats(0, 1e5), seed=st.integers(0, 9))
def test_requests_are_born_one_after_the_other_and_not_before_their_query(number, arrival_s, seed):
    times = births(number, arrival_s, 2, seed)
    assert times.dtype == np.int64
    assert times[0] >= round(arrival_s * NS_PER_S)
    assert (np.diff(times) >= 1).all()


def test_first_requests_are_spread_over_a_mean_gap_and_not_in_step():
    waits = np.array([births(number, blocks=1)[0] / NS_PER_S - 10 for number in range(2000)])
    # The first gap began at a random phase, so a Poisson source is Poisson from the arrival on.
    assert abs(waits.mean() - 0.5) < 0.06


def test_invariant_common_randomness_request_streams_depend_on_seed_and_query_alone():
    assert (births(3) == births(3)).all()
    assert (births(3)[:500] != births(4)[:500]).all()
    assert (births(3, seed=1)[:500] != births(3, seed=2)[:500]).all()
    shifted = births(3, arrival_s=110.0)
    count = min(len(shifted), len(births(3)))
    assert (shifted[:count] - births(3)[:count] == 100 * NS_PER_S).all()


@pytest.mark.parametrize("kind", [Constant(), Exponential(), LogNormal(0.6)])
def test_variability_has_mean_one_and_its_coefficient_of_variation(kind):
    values = kind.draw(rng(), 200_000)
    assert values.mean() == pytest.approx(1, abs=0.02)
    assert values.std() == pytest.approx(kind.cv, abs=0.03)
    assert (values > 0).all()


@pytest.mark.parametrize("kind", [Constant(), Exponential(), LogNormal(0.6)])
def test_variability_drawn_in_blocks_is_the_same_stream(kind):
    whole, pieces = rng(), rng()
    parts = np.concatenate([kind.draw(pieces, count) for count in (5, 256, 39)])
    assert (kind.draw(whole, 300) == parts).all()


def test_sizes_of_requests_have_the_mean_of_one():
    blocks = list(islice(request_blocks(APPLICATION, query(), 1), 80))
    sizes = np.concatenate([block.size for block in blocks])
    assert sizes.mean() == pytest.approx(1, abs=0.03)
    assert all(len(b.size) == len(b.arrival_ns) == len(b.variability) for b in blocks)
    assert blocks[0].variability.shape[1] == 4
