"""Errors of planners."""


class PlannerError(Exception):
    """A planner asked the planning context for something that makes no sense."""
