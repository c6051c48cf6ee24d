"""Gaussian processes on the residuals of a physical formula, for points in related groups.

The Matern 5/2 kernel (eq. 4.17) and the prediction by Cholesky factors (algorithm 2.1) are those of
Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

Array = npt.NDArray[np.float64]

_ROUNDING = 1e-10  # added to variances, so that equal points do not make a matrix singular


@dataclass(frozen=True, slots=True)
class Coordinates:
    """The coordinates of measured or predicted values.

    Attributes:
        points: Inputs in which the values vary smoothly, of shape (rows, inputs).
        groups: Features of each row's group, of shape (rows, features). The distance of two groups
            is the sum of the absolute differences of their features.
    """

    points: Array
    groups: Array

    def __getitem__(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Coordinates":
        return Coordinates(self.points[rows], self.groups[rows])


@dataclass(frozen=True, slots=True)
class Kernel:
    """The covariance of residuals: one part that all groups share, and one part for each group.

    Attributes:
        lengths: The distance, in each input, over which residuals change.
        shared_sd: Standard deviation of the part that all groups share.
        group_sd: Standard deviation of the part of each group; similar groups have correlated
            parts.
        likeness: Correlation of the parts of two groups whose distance is 1.
        noise_sd: Standard deviation of the noise.
    """

    lengths: tuple[float, ...]
    shared_sd: float
    group_sd: float
    likeness: float
    noise_sd: float

    def covariance(self, one: Coordinates, other: Coordinates) -> Array:
        """Return the covariance without noise, of shape (rows of `one`, rows of `other`)."""
        distance = np.sqrt(5) * cdist(one.points / self.lengths, other.points / self.lengths)
        matern = (1 + distance + distance**2 / 3) * np.exp(-distance)
        difference = cdist(one.groups, other.groups, "cityblock")
        result: Array = matern * (self.shared_sd**2 + self.group_sd**2 * self.likeness**difference)
        return result

    def values(self) -> dict[str, float]:
        """Return the kernel's parameters by name, for a table of coefficients."""
        lengths = {f"length_{index}": length for index, length in enumerate(self.lengths)}
        others = ("shared_sd", "group_sd", "likeness", "noise_sd")
        return lengths | {name: getattr(self, name) for name in others}

    @classmethod
    def from_values(cls, values: dict[str, float]) -> "Kernel":
        """Return the kernel with the parameters that `values` returned."""
        count = sum(name.startswith("length_") for name in values)
        return cls(
            tuple(values[f"length_{index}"] for index in range(count)),
            **{name: values[name] for name in ("shared_sd", "group_sd", "likeness", "noise_sd")},
        )


@dataclass(frozen=True, slots=True)
class Process:
    """A Gaussian process of zero mean, conditioned on residuals.

    Attributes:
        kernel: Its covariance.
        seen: The coordinates of the residuals.
        weights: The weight of each residual, of shape (rows,).
    """

    kernel: Kernel
    seen: Coordinates
    weights: Array

    @classmethod
    def given(
        cls, kernel: Kernel, seen: Coordinates, residuals: Array, noise_sd: Array
    ) -> "Process":
        """Return a process conditioned on residuals with noise ``noise_sd`` plus the kernel's."""
        with threadpool_limits(1):  # Sums in several threads differ in the last digits.
            factor = _factor(kernel, seen, noise_sd)
            weights = cho_solve(factor, residuals)
        return cls(kernel, seen, weights)

    def mean(self, asked: Coordinates) -> Array:
        """Return the expected residuals, of shape (rows,)."""
        # BLAS is not used, because its sums depend on its number of threads.
        return np.asarray((self.kernel.covariance(asked, self.seen) * self.weights).sum(axis=1))


def _factor(kernel: Kernel, seen: Coordinates, noise_sd: Array) -> tuple[Array, bool]:
    """Return the Cholesky factor of the residuals' covariance, in the form of SciPy."""
    covariance = kernel.covariance(seen, seen)
    variances = kernel.noise_sd**2 + noise_sd**2 + _ROUNDING
    covariance[np.diag_indices_from(covariance)] += variances
    factor: tuple[Array, bool] = cho_factor(covariance, lower=True)
    return factor


def fit_kernel(
    guess: Kernel, seen: Coordinates, residuals: Array, noise_sd: Array, trust: float = 0.5
) -> Kernel:
    """Return the kernel whose parameters are the mode of their posterior distribution.

    Args:
        guess: Initial values of the parameters, which are also the medians of their log-normal
            priors. For ``likeness``, this is the prior of its odds.
        seen: The coordinates of the residuals.
        residuals: The residuals of the physical formula, of shape (rows,).
        noise_sd: Noise of each row in addition to the kernel's, of shape (rows,).
        trust: The inverse of the standard deviation of these priors.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - no simulation needs it

    def unpack(free: Sequence[float]) -> Kernel:
        *lengths, shared, group, odds, noise = np.exp(free).tolist()
        return Kernel(tuple(lengths), shared, group, odds / (1 + odds), noise)

    start = np.log(
        [
            *(*guess.lengths, guess.shared_sd, guess.group_sd),
            *(guess.likeness / (1 - guess.likeness), guess.noise_sd),
        ]
    )

    def loss(free: Array) -> float:
        try:
            factor = _factor(unpack(free.tolist()), seen, noise_sd)
        except np.linalg.LinAlgError:
            return 1e9
        evidence = residuals @ cho_solve(factor, residuals) / 2 + np.log(np.diag(factor[0])).sum()
        return float(evidence + (trust**2) * ((free - start) ** 2).sum() / 2)

    bounds = [(value - 5, value + 5) for value in start]
    best = minimize(loss, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
    # values are rounded, because the last digits depend on the machine
    return unpack([float(f"{value:.4f}") for value in best.x])
