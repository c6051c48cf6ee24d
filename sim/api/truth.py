"""The truth about a query, for planners that are bounds for others."""

from dataclasses import dataclass

from scenarios.numerics import Floats
from sim.api.plan_view import PlanView


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of a query now; C configurations, N operators.

    Args:
        view: its plans with the present speed of its device, and the links of the rest of its life.
        operator_time_s: mean time of each operator on profiling hardware, shape (C, N).
        time_cv: coefficient of variation of the pipeline's total time over allowance, shape (C,).
        normalised: what dividing by allowances does to the mean of the pipeline's time, and of a
            constant, shape (C, 2).
        accuracy: expected accuracy on the content as it is now, shape (C,).
    """

    view: PlanView
    operator_time_s: Floats
    time_cv: Floats
    normalised: Floats
    accuracy: Floats
