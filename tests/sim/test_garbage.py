"""Garbage is collected rarely while a world runs."""

import gc

import pytest
from worlds import At, Does, run, scenario

from scenarios.workload import Workload
from sim.controlplane.world import ALLOCATIONS_PER_COLLECTION, seldom_collected


@pytest.fixture(autouse=True)
def as_before():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_garbage_is_collected_rarely_within_and_as_before_afterwards():
    gc.set_threshold(700, 10, 10)
    with seldom_collected():
        assert gc.get_threshold() == (ALLOCATIONS_PER_COLLECTION, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


def test_an_error_within_restores_collection_too():
    gc.set_threshold(700, 10, 10)
    with pytest.raises(KeyError), seldom_collected():
        raise KeyError
    assert gc.get_threshold() == (700, 10, 10)


def test_garbage_is_collected_rarely_while_a_world_runs():
    gc.set_threshold(700, 10, 10)
    seen = []
    run(
        scenario(2.0, workload=Workload(arrivals=At((1.0,)))),
        Does(lambda _: seen.append(gc.get_threshold())),
    )
    assert seen[0][0] == ALLOCATIONS_PER_COLLECTION
    assert gc.get_threshold()[0] == 700


@pytest.mark.parametrize("most", [0, 2 * ALLOCATIONS_PER_COLLECTION])
def test_rarer_or_disabled_collection_is_left_as_it_is(most):
    gc.set_threshold(most, 5, 5)
    with seldom_collected():
        assert gc.get_threshold() == (most, 5, 5)
