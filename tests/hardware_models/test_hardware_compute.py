"""Factors of service time: the reference, measured points, order, and what is beyond the data."""

import math
from itertools import pairwise
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_models import devices
from hardware_models.basis import worst
from hardware_models.errors import UnknownNameError
from hardware_models.gpu import boards, compute, gpu_latency, mig, mps

SPEEDS = st.floats(0.01, 100)
SLICES = ("1g.10gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")


def times(like="bert", board="A100-80GB", profile="7g.80gb", **rest):
    return compute.gpu_batch_times(like, "bert-99", board, profile, **rest)


def test_a_lone_request_on_a_whole_a100_80gb_is_the_reference():
    assert times().factors == (1.0,)


@pytest.mark.parametrize("like", gpu_latency.models())
def test_batches_slices_and_processes_take_the_measured_times(like):
    alone = gpu_latency.batch_latency(like, 7)
    for profile in SLICES:
        slices = mig.profiles("A100-80GB")[profile].compute_slices
        for processes in (1, 2):
            found = times(like, profile=profile, max_batch=8, processes=processes)
            for batch, factor in enumerate(found.factors, 1):
                latency = gpu_latency.batch_latency(like, slices, batch, processes)
                assert factor == pytest.approx(latency.seconds / alone.seconds)


def share(like="bert", profile="7g.80gb", **rest):
    return compute.fixed_share(like, "bert-99", "A100-80GB", profile, **rest)


@pytest.mark.parametrize("like", gpu_latency.models())
@pytest.mark.parametrize("profile", ["1g.10gb", "7g.80gb"])
def test_a_request_of_twice_the_size_takes_as_long_as_two_at_once(like, profile):
    for items in (1.0, 8.0):
        one, two = times(like, profile=profile, max_batch=2, like_items=items).factors
        fixed = share(like, profile, like_items=items)
        assert 0 <= fixed <= 1
        if one < two < 2 * one:
            assert one * (fixed + (1 - fixed) * 2) == pytest.approx(two)


def test_small_work_is_bound_by_launches_and_large_work_is_not():
    assert share("resnet50", like_items=1.0) > 0.8
    assert share("resnet50", like_items=64.0) < 0.2


def test_the_fixed_share_predicts_times_at_sizes_that_it_does_not_use():
    errors = {"fixed": [], "proportional": []}
    for like in gpu_latency.models():
        for profile in SLICES:
            for items in (4, 8, 16):
                fixed = share(like, profile, like_items=float(items))
                alone = times(like, profile=profile, like_items=float(items)).factors[0]
                for size in (0.25, 0.5, 4.0):
                    true = times(like, profile=profile, like_items=items * size).factors[0]
                    true *= gpu_latency.batch_latency(like, 7, int(items * size)).seconds
                    true /= gpu_latency.batch_latency(like, 7, items).seconds
                    for rule, part in (("fixed", fixed), ("proportional", 0.0)):
                        errors[rule].append(abs(alone * (part + (1 - part) * size) / true - 1))
    assert median(errors["fixed"]) == pytest.approx(0.074, abs=5e-4)
    assert median(errors["proportional"]) == pytest.approx(0.38, abs=5e-3)


def test_nothing_is_fixed_where_two_at_once_were_not_measured():
    assert share(like_items=float(gpu_latency.largest_batch())) == 0.0
    with pytest.raises(UnknownNameError):
        share("brt")


def test_other_boards_differ_by_their_measured_ratio():
    ratio = boards.latency_ratio("L4", "rnnt")
    found = compute.gpu_batch_times("bert", "rnnt", "L4", "full")
    assert found.factors == (pytest.approx(ratio.value),)
    assert found.basis == worst(ratio.basis, gpu_latency.batch_latency("bert", 7).basis)
    assert ratio.value == pytest.approx(1.567, abs=0.01), "MLPerf v3.0, Offline and SingleStream"


def test_a_small_request_does_not_feel_a_small_slice_but_a_large_one_does():
    small, large = (times(profile="1g.10gb", like_items=items).factors[0] for items in (1, 16))
    assert small < 1.2
    assert large > 2 * small


@settings(max_examples=50, deadline=None)
@given(items=st.floats(0.1, 30), batch=st.integers(1, 4), profile=st.sampled_from(SLICES))
def test_a_heavier_request_is_a_batch_of_the_like_model(items, batch, profile):
    slices = mig.profiles("A100-80GB")[profile].compute_slices

    def seconds(g, requests):
        return gpu_latency.batch_latency("bert", g, max(1, round(items * requests))).seconds

    found = times(profile=profile, max_batch=batch, like_items=items)
    assert found.factors[-1] == pytest.approx(seconds(slices, batch) / seconds(7, 1))


@pytest.mark.parametrize("board", ["A100-40GB", "A100-80GB", "A30", "H100-80GB"])
@pytest.mark.parametrize("batch", [16, 32])
def test_a_busy_card_is_slower_on_fewer_slices(board, batch):
    profiles = sorted(mig.profiles(board).values(), key=lambda each: each.compute_slices)
    by_slices = {
        each.compute_slices: times(board=board, profile=each.name, max_batch=batch).factors[-1]
        for each in profiles
    }
    for more, fewer in pairwise(reversed(by_slices.values())):
        assert fewer > 0.9 * more, "single runs were measured; 3g and 4g differ by their noise"
    assert by_slices[1] > 1.5 * min(by_slices.values())


def test_a_card_of_four_slices_is_cut_at_the_same_share_and_says_that_it_assumes_so():
    shares = {1: (1, 2), 2: (3, 4)}
    for slices, (below, above) in shares.items():
        found = times(board="A30", profile=f"{slices}g.{6 * slices}gb", max_batch=16)
        whole = times(board="A30", profile="4g.24gb", max_batch=16)
        low, high = sorted(
            gpu_latency.batch_latency("bert", g, 16).seconds
            / gpu_latency.batch_latency("bert", 7, 16).seconds
            for g in (below, above)
        )
        assert low <= found.factors[-1] / whole.factors[-1] <= high
        assert found.basis in ("assumed", "extrapolated")


@pytest.mark.parametrize(("items", "basis"), [(16, "assumed"), (256, "extrapolated")])
def test_between_two_slices_the_weaker_of_both_tells(items, basis):
    beside = [gpu_latency.batch_latency("vgg16", g, items).basis for g in (1, 2)]
    assert worst("assumed", *beside) == basis
    found = compute.gpu_batch_times("vgg16", "bert-99", "A30", "1g.6gb", like_items=items)
    assert found.basis == basis


@pytest.mark.parametrize(("items", "basis"), [(16, "assumed"), (64, "extrapolated")])
def test_a_mean_of_other_models_is_an_assumption_or_as_weak_as_they_are(items, basis):
    factors = [mps.thread_latency_factor(each, items, 50) for each in mps.thread_models()]
    assert worst("assumed", *(each.basis for each in factors)) == basis
    assert times(like_items=items).basis in ("measured", "interpolated")
    assert times(like_items=items, thread_percent=50).basis == basis


@given(percent=st.integers(1, 100))
@settings(max_examples=30, deadline=None)
def test_fewer_threads_never_help(percent):
    for like in ("resnet50", "bert"):
        full = times(like, like_items=16).factors[0]
        assert times(like, like_items=16, thread_percent=percent).factors[0] >= full * 0.999


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"max_batch": 10_000},
            "257 requests at once weigh as much as a batch of 257 of bert; .* up to 256",
        ),
        (
            {"max_batch": 2, "like_items": 200.0},
            "2 requests at once weigh as much as a batch of 400 of",
        ),
        ({"like_items": 300.0}, "a request weighs as much as a batch of 300 of bert"),
        ({"processes": 99}, "processes is 99"),
        ({"like": "bart"}, "did you mean 'bert'"),
        ({"board": "A100-80"}, "did you mean 'A100-80GB'"),
        ({"profile": "7g.80g"}, "did you mean '7g.80gb'"),
        ({"board": "MI300X", "profile": "cpx.24gb"}, "cpx.24gb is less than the seventh of a card"),
    ],
)
def test_what_lies_beyond_the_data_is_refused(change, reason):
    with pytest.raises((ValueError, UnknownNameError), match=reason):
        times(**change)


def test_larger_batches_take_longer_but_never_more_than_one_by_one():
    factors = times(max_batch=64).factors
    assert all(early < late for early, late in pairwise(factors))
    assert all(factor <= batch for batch, factor in enumerate(factors, 1))


def test_memory_utilisation_is_a_share_for_every_model():
    for like in gpu_latency.models():
        assert 0 < compute.memory_utilisation(like) < 1
    for like, measured in (("mobilenetv2", "mobilenet_v2"), ("vgg19", "vgg16")):
        assert compute.memory_utilisation(like) == mps.memory_utilisation(measured)


@given(SPEEDS, SPEEDS)
def test_cpu_factors_are_inverse_to_speed(one, other):
    for factor in (
        compute.cpu_latency_factor,
        lambda speed: compute.network_on_cpu_factor(100.0, speed).value,
    ):
        assert factor(one) * one == pytest.approx(factor(other) * other)


def test_cpu_factors_at_their_anchors():
    assert compute.cpu_latency_factor(13.203) == 1.0
    pi = devices.device("Raspberry Pi 5").relative_speed
    on_pi = compute.network_on_cpu_factor(100.0, pi)
    assert (on_pi.value, on_pi.basis) == (pytest.approx(100.0), "assumed")


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan, math.inf])
def test_a_speed_must_be_positive(speed):
    for factor in (
        compute.cpu_latency_factor,
        lambda speed: compute.network_on_cpu_factor(100.0, speed).value,
    ):
        with pytest.raises(ValueError, match="relative_speed is"):
            factor(speed)
