"""Distributions with mean 1, which describe how requests differ from the average."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import numpy as np

from scenarios.numerics import Floats
from scenarios.ranges import Range, check_ranges

MOST_CV = 1e3
"""The largest allowed coefficient of variation; with a larger one, almost all values are near 0."""


class Variability(ABC):
    """A non-negative random factor with mean 1; a request's value is a mean times this factor."""

    @property
    @abstractmethod
    def cv(self) -> float:
        """Coefficient of variation: standard deviation over mean."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw the next ``count`` factors from a stream, shape (count,)."""


# Cached, because sources draw the same repeatedly.


@cache
def repeated(factors: tuple[float, ...], count: int) -> Floats:
    """Return ``count`` equal rows of n numbers, as a read-only broadcast of one row."""
    return np.broadcast_to(factors, (count, len(factors)))


@cache
def ones(count: int) -> Floats:
    """Return ``count`` ones, shape (count,), as a read-only broadcast of a single number."""
    return np.broadcast_to(1.0, count)


@dataclass(frozen=True)
class Constant(Variability):
    """Every request has the mean value."""

    cv = 0.0

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return read-only ones, shape (count,), without drawing from the stream."""
        return ones(count)


@dataclass(frozen=True)
class Exponential(Variability):
    """An exponential distribution, for gaps of Poisson arrivals or M/M/c service times."""

    cv = 1.0

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw exponential factors with mean 1, shape (count,)."""
        return rng.standard_exponential(count)


@dataclass(frozen=True)
class LogNormal(Variability):
    """A log-normal distribution, for skewed quantities such as lengths of utterances.

    Args:
        spread: coefficient of variation.
    """

    spread: Annotated[float, Range(gt=0, le=MOST_CV)]

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def cv(self) -> float:
        """Coefficient of variation: the parameter ``spread``."""
        return self.spread

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw log-normal factors with mean 1, shape (count,)."""
        log_variance = np.log1p(self.spread**2)
        normals = rng.standard_normal(count)
        return np.asarray(np.exp(normals * np.sqrt(log_variance) - log_variance / 2))
