"""Distributions with mean 1, for the differences between requests of one kind."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import numpy as np

from scenarios.numerics import Floats
from scenarios.ranges import Range, check_ranges

MOST_CV = 1e3
"""The largest coefficient of variation; beyond it, nearly all values are almost 0."""


class Variability(ABC):
    """A non-negative factor of mean 1; multiply a mean by it to get one request's value."""

    @property
    @abstractmethod
    def cv(self) -> float:
        """Coefficient of variation: standard deviation over mean."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return the next ``count`` factors of a stream, shape (count,)."""


# Cached, because sources draw the same repeatedly.


@cache
def repeated(factors: tuple[float, ...], count: int) -> Floats:
    """Return equal rows, shape (count, n), a read-only broadcast of one."""
    return np.broadcast_to(factors, (count, len(factors)))


@cache
def ones(count: int) -> Floats:
    """Return ``count`` ones, shape (count,), a read-only broadcast of one."""
    return np.broadcast_to(1.0, count)


@dataclass(frozen=True)
class Constant(Variability):
    """Every request equals the mean one."""

    cv = 0.0

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return ones, shape (count,), read-only; the stream is not advanced."""
        return ones(count)


@dataclass(frozen=True)
class Exponential(Variability):
    """Memoryless: Poisson arrivals, or the service times of an M/M/c queue."""

    cv = 1.0

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return exponential factors of mean 1, shape (count,)."""
        return rng.standard_exponential(count)


@dataclass(frozen=True)
class LogNormal(Variability):
    """Skewed sizes, such as lengths of utterances.

    Args:
        spread: coefficient of variation.
    """

    spread: Annotated[float, Range(gt=0, le=MOST_CV)]

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def cv(self) -> float:
        """The given spread."""
        return self.spread

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return log-normal factors of mean 1, shape (count,)."""
        log_variance = np.log1p(self.spread**2)
        normals = rng.standard_normal(count)
        return np.asarray(np.exp(normals * np.sqrt(log_variance) - log_variance / 2))
