"""Simple planners that show how a planner is written."""
