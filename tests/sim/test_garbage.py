"""How seldom garbage is collected while a world runs."""

import gc

import pytest

from sim.garbage import ALLOCATIONS, seldom_collected


@pytest.fixture(autouse=True)
def as_before():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_it_is_collected_seldom_meanwhile_and_as_before_afterwards():
    gc.set_threshold(700, 10, 10)
    with seldom_collected():
        assert gc.get_threshold() == (ALLOCATIONS, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


def test_an_error_changes_nothing_about_that():
    gc.set_threshold(700, 10, 10)
    try:
        with seldom_collected():
            raise KeyError
    except KeyError:
        assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("most", [0, 2 * ALLOCATIONS])
def test_who_wants_it_never_or_even_less_often_is_left_alone(most):
    gc.set_threshold(most, 5, 5)
    with seldom_collected():
        assert gc.get_threshold() == (most, 5, 5)
