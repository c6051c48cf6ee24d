"""Errors of planners."""


class PlannerError(Exception):
    """A planner asked the desk for something that makes no sense."""
