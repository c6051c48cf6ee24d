"""Factors of service time: fixed points, measured end points, order."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_models import compute, devices, mig
from hardware_models.errors import UnknownNameError
from hardware_models.tables import load_table

SPEEDS = st.floats(0.01, 100)


def test_a_whole_a100_is_the_reference():
    assert compute.gpu_latency_factor("A100-40GB", "7g.40gb") == 1.0
    assert compute.gpu_latency_factor("A100-80GB", "7g.80gb") == 1.0


def test_slices_pass_through_the_measured_end_points():
    measured = (3.1957 * 3.3887 * 2.9794) ** (1 / 3)
    assert compute.gpu_latency_factor("A100-40GB", "1g.5gb") == pytest.approx(measured)
    assert compute.slice_exponent() == pytest.approx(0.5951, abs=1e-4)


def test_an_l4_lies_between_a_whole_a100_and_its_smallest_slice_at_batch_one():
    factor = compute.gpu_latency_factor("L4", "full")
    assert factor == pytest.approx(30.4629 / 19.661, rel=1e-4)
    assert 1 < factor < compute.gpu_latency_factor("A100-40GB", "1g.5gb")


@pytest.mark.parametrize("board", mig.boards())
def test_more_compute_is_never_slower(board):
    profiles = sorted(mig.profiles(board).values(), key=lambda each: each.compute_slices)
    factors = [compute.gpu_latency_factor(board, each.name) for each in profiles]
    assert factors == sorted(factors, reverse=True)


@given(SPEEDS, SPEEDS)
def test_cpu_factors_are_inverse_to_speed(one, other):
    for factor in (compute.cpu_latency_factor, compute.gpu_work_on_cpu_factor):
        assert factor(one) * one == pytest.approx(factor(other) * other)


def test_cpu_factors_at_their_anchors():
    assert compute.cpu_latency_factor(13.203) == 1.0
    pi = devices.relative_speed("Raspberry Pi 5")
    ratios = (1106.11 / 6.15, 2479.82 / 10.6, 8308.3 / 31.83)
    assert compute.gpu_work_on_cpu_factor(pi) == pytest.approx(math.prod(ratios) ** (1 / 3))
    # Without a GPU, neural operators lose far more than others.
    assert compute.gpu_work_on_cpu_factor(pi) > 50 * compute.cpu_latency_factor(pi)


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan, math.inf])
def test_a_speed_must_be_positive(speed):
    for factor in (compute.cpu_latency_factor, compute.gpu_work_on_cpu_factor):
        with pytest.raises(ValueError, match="relative_speed is"):
            factor(speed)


def test_batches_take_the_measured_times():
    table = load_table("batch_latency")
    assert compute.batch_latency_factor(1) == 1.0
    for batch, ms in zip(table["batch"], table["batch_latency_ms"], strict=True):
        assert compute.batch_latency_factor(batch) == pytest.approx(ms / 13.4394)
    assert compute.batch_latency_factor(3) == pytest.approx((23.2758 + 42.0142) / 2 / 13.4394)


def test_larger_batches_take_longer_but_never_more_than_one_by_one():
    factors = [compute.batch_latency_factor(batch) for batch in range(1, 129)]
    assert all(early < late for early, late in pairwise(factors))
    assert all(factor <= batch for batch, factor in enumerate(factors, 1))


@pytest.mark.parametrize("batch", [0, -1, 129])
def test_batches_beyond_the_table_are_refused(batch):
    with pytest.raises(ValueError, match=f"batch is {batch}: measured sizes go from 1 to 128"):
        compute.batch_latency_factor(batch)


def test_weights_are_fp32():
    table = load_table("model_sizes")
    assert table["weight_bytes"].equals(table["parameters"] * 4, check_names=False)
    assert compute.model_weight_bytes("wav2vec2-base") == 377_600_000
    assert compute.model_weight_bytes("hubert-xlarge") == 4 * 10**9


def test_unknown_names_give_the_nearest():
    with pytest.raises(UnknownNameError, match=r"the nearest is 'hubert-large'"):
        compute.model_weight_bytes("hubert-lrge")
    with pytest.raises(UnknownNameError, match=r"the nearest is 'A100-80GB'"):
        compute.gpu_latency_factor("A100-80", "7g.80gb")
    with pytest.raises(UnknownNameError, match=r"the nearest is '7g.80gb'"):
        compute.gpu_latency_factor("A100-80GB", "7g.80g")
