"""Normal Bayesian optimisation over whole plans, the baseline for CMBO.

Gaussian processes over configuration and layout learn from a profiled plan only the accuracy and
latency of this plan (Compass paper, Fig. 8, "normal BO"). The rest is as in CMBO: logarithmic
latency, fitted hyper-parameters and the same acquisition function.
"""

from collections.abc import Sequence
from math import fsum, log, log1p, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from planners.bayesopt.acquisition import feasible_saving, probability_above, probability_below
from planners.bayesopt.gaussian_process import GaussianProcess
from planners.compass.search.cmbo import ACCURACY_CENTRE, ACCURACY_SCALE, above
from scenarios.numerics import Bools, Floats

LOG_LATENCY_SCALE = 1.0
"""Prior standard deviation of log latency, for differences by a factor of e; fits correct it.
"""


class NormalBo:
    """Beliefs about all plans of one query, given the profiles of a few plans.

    This class has the methods of `Cmbo`, but observes plans. `Cmbo` describes the parameters that
    are not listed here.

    Args:
        points: features of the plans, of shape (P, D), such as those of
            ``planners.bayesopt.encodings.joint``.
        factors: as in `Cmbo`. They are used only for profiled plans, as are ``transfer_s`` and
            ``fixed_s``.
        blocks: numbers of features that share a length scale; by default, all features share one.

    Attributes:
        reference: the cost from which savings are counted, as in `Cmbo`.
    """

    def __init__(
        self,
        points: Floats,
        factors: Floats,
        transfer_s: Floats,
        cost: Floats,
        *,
        latency_s: float | None = None,
        accuracy: float | None = None,
        fixed_s: ArrayLike = 0.0,
        latency_quantile: float = 0.95,
        latency_margin: float = 1.0,
        blocks: Sequence[int] | None = None,
    ) -> None:
        self._factors = factors
        self._transfer_s = transfer_s
        self._fixed_s = np.broadcast_to(np.asarray(fixed_s, dtype=np.float64), cost.shape)
        self._cost = cost
        self._log_bound = None if latency_s is None else log(latency_s * latency_margin)
        self._accuracy_bound = accuracy
        self._quantile = NormalDist().inv_cdf(latency_quantile)
        self._accuracy = GaussianProcess(
            points, blocks=blocks, centre=ACCURACY_CENTRE, scale=ACCURACY_SCALE
        )
        self._latency = GaussianProcess(points, blocks=blocks, scale=LOG_LATENCY_SCALE)
        self._cvs: dict[int, float] = {}
        self.reference = above(cost)

    @property
    def subjects(self) -> int:
        """Number of valid indices of `observe`: the number P of plans."""
        return len(self._cost)

    def subject(self, plan: int) -> int:
        """Return the index used to observe a profiled plan, that of the plan itself."""
        return plan

    def observe(
        self,
        index: int,
        accuracy: float,
        accuracy_variance: float,
        operator_time_s: Floats,
        time_cv: float = 0.0,
        samples: int | None = None,
        normalised: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """Learn the profile of a plan, in place of any earlier one; see ``Cmbo.observe``."""
        moving_s = float(self._factors[index] @ operator_time_s) + float(self._transfer_s[index])
        mean_s = normalised[0] * moving_s + normalised[1] * float(self._fixed_s[index])
        error = 0.0 if samples is None else time_cv**2 / samples
        self._accuracy.observe(index, accuracy, accuracy_variance)
        self._latency.observe(index, log(max(mean_s, 1e-9)), error)
        self._cvs[index] = time_cv

    def propose(self, exclude: Bools | None = None) -> int | None:
        """Return the first plan with the largest utility, or None if this utility is 0.

        ``exclude`` marks plans that must not be returned, such as profiled ones, of shape (P,).
        """
        utility = self.utility() if exclude is None else np.where(exclude, 0.0, self.utility())
        chosen = int(np.argmax(utility)) if len(utility) else 0
        return chosen if len(utility) and utility[chosen] > 0 else None

    def utility(self) -> Floats:
        """Return the feasibility-weighted saving of each plan, of shape (P,)."""
        return feasible_saving(self.reference, self._cost, *self._probabilities())

    def feasible(self) -> Floats:
        """Return each plan's probability of meeting the SLO, of shape (P,)."""
        accurate, fast = self._probabilities()
        return np.asarray(accurate * fast)

    def believed(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return means and deviations of latency (s, without waits) and accuracy, of shape (P,)."""
        mean, sd = (each[:, 0] for each in self._latency.predict())
        accuracy, accuracy_sd = (each[:, 0] for each in self._accuracy.predict())
        return np.exp(mean), np.exp(mean) * sd, accuracy, accuracy_sd

    def _probabilities(self) -> tuple[Floats, Floats]:
        """Return each plan's probabilities of meeting the accuracy bound and the latency bound."""
        mean, sd = (each[:, 0] for each in self._accuracy.predict())
        accurate = probability_above(self._accuracy_bound, mean, sd)
        mean, sd = (each[:, 0] for each in self._latency.predict())
        cv = fsum(self._cvs.values()) / max(1, len(self._cvs))
        spread = log1p(cv**2)
        tail = self._quantile * sqrt(spread) - spread / 2
        return accurate, probability_below(self._log_bound, mean + tail, sd)
