"""Garbage of a command is collected seldom, and what was imported not at all."""

import gc

import pytest

from lab.common.garbage import ALLOCATIONS_PER_COLLECTION, imported_for_good


@pytest.fixture(autouse=True)
def as_before():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.enable()


def test_nothing_is_collected_while_modules_are_imported():
    gc.set_threshold(700, 10, 10)
    with imported_for_good():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_threshold() == (ALLOCATIONS_PER_COLLECTION, 10, 10)


def test_what_was_imported_is_never_collected():
    gc.collect()
    frozen, imported = gc.get_freeze_count(), []
    with imported_for_good():
        imported += [[] for _ in range(1000)]
    assert gc.get_freeze_count() >= frozen + 1000


@pytest.mark.parametrize("most", [0, 2 * ALLOCATIONS_PER_COLLECTION])
def test_rarer_or_disabled_collection_is_left_as_it_is(most):
    gc.set_threshold(most, 5, 5)
    with imported_for_good():
        pass
    assert gc.get_threshold() == (most, 5, 5)


def test_who_disabled_collection_keeps_it_disabled():
    gc.disable()
    with imported_for_good():
        pass
    assert not gc.isenabled()
