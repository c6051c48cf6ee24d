"""`check_planner` checks that a planner keeps the rules of the planning interface."""
