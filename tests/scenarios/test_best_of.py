"""The rule ``best_of``: its limits, and what each of its parameters does."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.applications.accuracy_rules import best_of

CHANCES = st.floats(0.0, 1.0)
ATTEMPTS = st.floats(0.0, 200.0)
CONCENTRATIONS = st.floats(0.01, 1e4)


def one_of(p: float, k: float, c: float) -> float:
    return float(best_of(np.array(p), np.array(k), np.array(c)))


@given(p=CHANCES, c=CONCENTRATIONS)
def test_the_best_of_one_attempt_succeeds_as_often_as_that_attempt(p: float, c: float) -> None:
    assert one_of(p, 1.0, c) == pytest.approx(p, abs=1e-9)


@given(p=CHANCES, c=CONCENTRATIONS)
def test_no_attempt_never_succeeds(p: float, c: float) -> None:
    assert one_of(p, 0.0, c) == 0.0


@given(p=CHANCES, k=ATTEMPTS, more=st.floats(0.0, 50.0), c=CONCENTRATIONS)
def test_more_attempts_never_hurt(p: float, k: float, more: float, c: float) -> None:
    assert 0.0 <= one_of(p, k, c) <= one_of(p, k + more, c) + 1e-12 <= 1.0 + 1e-12


@given(p=st.floats(0.01, 0.99), k=st.integers(1, 50))
def test_problems_that_are_all_alike_make_attempts_independent(p: float, k: int) -> None:
    independent = 1 - (1 - p) ** k
    assert one_of(p, k, math.inf) == pytest.approx(independent, abs=1e-12)
    assert one_of(p, k, 1e7) == pytest.approx(independent, abs=1e-4)


@given(p=st.floats(0.01, 0.99), k=st.integers(1, 50))
def test_problems_that_are_solved_always_or_never_gain_nothing_from_attempts(
    p: float, k: int
) -> None:
    assert one_of(p, k, 1e-9) == pytest.approx(p, abs=1e-6)


def test_endless_attempts_solve_everything() -> None:
    assert one_of(0.3, 1e12, 2.0) == pytest.approx(1.0, abs=1e-6)
    assert one_of(0.0, 1e12, 0.9) == 0.0
    assert one_of(1.0, 1.0, 0.9) == 1.0


def test_a_uniform_chance_gives_the_mean_of_the_largest_by_hand() -> None:
    # Mean 1/2 and concentration 2 is the uniform distribution: 1 - E[(1 - u)^k] = k / (k + 1).
    assert [one_of(0.5, k, 2.0) for k in (1, 2, 4, 8)] == pytest.approx(
        [1 / 2, 2 / 3, 4 / 5, 8 / 9]
    )


def test_arrays_broadcast() -> None:
    passed = best_of(np.full((3, 1), 0.5), np.arange(1, 5), np.array(1.0))
    assert passed.shape == (3, 4)
    assert (np.diff(passed, axis=1) > 0).all()


@pytest.mark.parametrize(
    ("p", "k", "c", "message"),
    [
        (1.2, 1.0, 1.0, "one=1.2 must be between 0 and 1"),
        (math.nan, 1.0, 1.0, "one=nan must be between 0 and 1"),
        (0.5, -1.0, 1.0, "attempts=-1 must be 0 or more"),
        (0.5, 1.0, 0.0, "concentration=0 must be above 0"),
    ],
)
def test_values_out_of_range_are_named(p: float, k: float, c: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        one_of(p, k, c)
