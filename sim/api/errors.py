"""Errors of planners."""


class PlannerError(Exception):
    """A planner called an operation of the planning context too late or with invalid arguments."""
