"""The true properties of a query, for planners that serve as bounds for other planners."""

from dataclasses import dataclass

from scenarios.numerics import Floats
from sim.api.plan_view import PlanView


@dataclass(frozen=True, eq=False)
class Truth:
    """The true properties of a query now; there are C configurations and N operators.

    Args:
        view: a view of the query's plans, with the present speed of its device, and with its links'
            mean transmission times over the rest of its lifetime.
        operator_time_s: mean time of each operator on profiling hardware, of shape (C, N).
        time_cv: coefficient of variation of the pipeline's total time divided by the allowance, of
            shape (C,).
        normalised: two factors by which dividing by allowances changes the mean of the pipeline's
            time and the mean of a constant, of shape (C, 2).
        accuracy: expected accuracy on the present content, of shape (C,).
    """

    view: PlanView
    operator_time_s: Floats
    time_cv: Floats
    normalised: Floats
    accuracy: Floats
