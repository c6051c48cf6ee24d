"""Errors of planners."""


class PlannerError(Exception):
    """A planner called an operation of the planning context with invalid arguments or too late."""
