"""`check_planner` checks that a planner follows the rules of the planning interface."""
